package api

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

// identify makes a call its principal's. What the body says about that must be true, or left out:
// no caller should believe that a false claim was accepted.
func identify(call *approval.Call, p auth.Principal) error {
	if !p.Authenticated() {
		call.Requester, call.Owner = p.Subject, ""
		return nil
	}
	if err := cmp.Or(
		claims("the field requester", call.Requester, p.Subject),
		claims("the field owner", call.Owner, p.Owner),
		claims("the field team", call.Team, p.Team),
	); err != nil {
		return err
	}
	call.Requester, call.Owner, call.Team = p.Subject, p.Owner, p.Team
	switch {
	case len(p.Agents) == 0:
		return nil
	case call.Agent == "" && len(p.Agents) == 1:
		call.Agent = p.Agents[0]
		return nil
	case call.Agent == "":
		return mismatch("Your token is for several agents: say in the field agent which one asks.")
	case !slices.Contains(p.Agents, call.Agent):
		return mismatch("The field agent names an agent that your token is not for.")
	}
	return nil
}

// claims compares what a request says of its sender with what is known.
func claims(what, claimed, known string) error {
	if claimed == "" || claimed == known {
		return nil
	}
	return mismatch("Your token says who you are; " + what + " says something else. Leave it out.")
}

func mismatch(detail string) error {
	return newProblem(http.StatusForbidden, rest.CodeIdentity, detail)
}

// whoami shows callers what the API knows about them.
func (s *Server) whoami(c *gin.Context) error {
	return reply(c, http.StatusOK, rest.Principal(principal(c)))
}
