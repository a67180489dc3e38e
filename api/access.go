package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Names of what authorize leaves in a request's context.
const (
	principalKey = "principal"
	reachKey     = "reach"
)

// principal returns who asks. On public routes it may be the zero Principal.
func principal(c *gin.Context) auth.Principal {
	p, _ := c.Value(principalKey).(auth.Principal)
	return p
}

// onlyOwn reports whether the principal sees its own calls only.
func onlyOwn(c *gin.Context) bool { return c.GetInt(reachKey) != int(all) }

// authorize lets through who may use the route. It runs before anything of the body is read.
func (s *Server) authorize(c *gin.Context) {
	route := c.FullPath()
	if route == "" { // nothing is served here, which is no secret
		c.Next()
		return
	}
	method := c.Request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rule, known := s.access[method+" "+route]
	if !known {
		s.fail(c, newProblem(http.StatusForbidden, rest.CodeNotPermitted, "Nobody may use this route."))
		return
	}
	if rule.public && (s.o.Auth == nil || len(c.Request.Header.Values("Authorization")) == 0) {
		if s.o.Auth == nil {
			c.Set(principalKey, auth.Local())
		}
		c.Next()
		return
	}
	// A stream is no use: its page may have been left open for days.
	p, err := s.authenticate(c.Request, route != eventsPath)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Set(principalKey, p)
	reached := rule.reachOf(p)
	refused := reached == nothing && !rule.public
	if p.Authenticated() && (refused || method != http.MethodGet) {
		if err := s.quotas.countRequest(p.Subject); err != nil {
			s.fail(c, err)
			return
		}
	}
	if refused {
		s.forbidden(c.Request, p, c.Request.Method+" "+route, rest.CodeNotPermitted)
		s.fail(c, newProblem(http.StatusForbidden, rest.CodeNotPermitted, notPermitted(p, rule)))
		return
	}
	c.Set(reachKey, int(reached))
	c.Next()
}

// forbidden logs, and puts on record, who may not do what they ask for.
func (s *Server) forbidden(r *http.Request, p auth.Principal, route, code string) {
	s.o.Logger.WarnContext(r.Context(), "a request was refused: its caller may not do that",
		"subject", p.Subject, "token", p.TokenID, "route", route, "code", code)
	s.denials.Forbidden(r.Context(), audit.Forbidden{
		By: p.Subject, TokenID: p.TokenID, Route: route, Code: code, Remote: source(s.remote(r)),
		Via: approval.Via{Channel: channelOf(r), Method: string(p.Method)},
	})
}

// authenticate returns who sent the request. active says that somebody uses their session by it.
func (s *Server) authenticate(r *http.Request, active bool) (auth.Principal, error) {
	if s.o.Auth == nil {
		return auth.Local(), nil
	}
	credential, err := s.credential(r)
	if err != nil {
		return auth.Principal{}, err
	}
	method := auth.MethodOf(credential)
	if strings.HasPrefix(credential, session.Prefix) {
		method = bySession
	}
	return s.prove(r, method, func(ctx context.Context) (auth.Principal, error) {
		if method == bySession {
			return s.sessions.Authenticate(ctx, credential, active)
		}
		return s.o.Auth.Authenticate(ctx, credential)
	})
}

// Methods of those who tried to sign in, beside rest's.
const (
	bySession rest.Method = "session"
	byCode    rest.Method = "code"
)

// signInFailed puts a refused credential on record.
func (s *Server) signInFailed(r *http.Request, method rest.Method, refusal auth.Refusal) {
	s.denials.SignInFailed(r.Context(), audit.SignInFailed{
		Code: refusal.Code, Subject: refusal.Subject, TokenID: refusal.TokenID, Remote: source(s.remote(r)),
		Via: approval.Via{Channel: channelOf(r), Method: string(method)},
	})
}

// prove returns whom check finds, and counts what it refuses. method is how the sender wants to be
// known.
func (s *Server) prove(
	r *http.Request, method rest.Method, check func(context.Context) (auth.Principal, error),
) (auth.Principal, error) {
	ctx, remote := r.Context(), s.remote(r)
	p, err := check(ctx)
	refusal := auth.Refused(err)
	switch {
	case err == nil:
		return p, nil
	case refusal != nil:
		s.signInFailed(r, method, *refusal)
		if wait, many := s.failures.failed(remote); many {
			return auth.Principal{}, tooMany(rest.CodeTooManyFailures, wait,
				"The credential was refused, like too many from this address before. "+
					"Wait, and check which program there has an old token.")
		}
		s.o.Logger.InfoContext(ctx, "a credential was refused", "code", refusal.Code, "remote", remote)
		return auth.Principal{}, unauthenticated(refusal.Code, `, error="invalid_token"`, refusal.Message)
	case ctx.Err() != nil:
		return auth.Principal{}, ctx.Err()
	case errors.Is(err, store.ErrReadOnly):
		return auth.Principal{}, fromStore(err)
	}
	return auth.Principal{}, unavailable(rest.CodeAuthUnavailable,
		"The credential can't be checked now; try again.", err)
}

// reauthenticate fails unless the request's credential, which was good when it came, is so now: a
// long poll must not answer to a token that was revoked meanwhile.
func (s *Server) reauthenticate(c *gin.Context) error {
	_, err := s.authenticate(c.Request, false)
	return err
}

// credential returns the request's credential. It is taken from headers only: addresses end up in
// logs.
func (s *Server) credential(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		if secret := s.cookie(r, sessionCookie); secret != "" {
			return session.Prefix + strings.TrimPrefix(secret, session.Prefix), nil
		}
		return "", unauthenticated(rest.CodeUnauthenticated, "", "Say who you are: send a token in the header "+
			"Authorization: Bearer …. The command line takes it from PAWL_TOKEN or --token-file.")
	}
	scheme, credential, _ := strings.Cut(values[0], " ")
	credential = strings.Trim(credential, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return "", unauthenticated(rest.CodeUnauthenticated, "",
			"Send exactly one header Authorization, with Bearer and a token.")
	}
	return credential, nil
}

// unauthenticated is the answer to who did not prove to be anybody. more goes on with the
// challenge.
func unauthenticated(code, more, detail string) error {
	p := newProblem(http.StatusUnauthorized, code, detail)
	p.challenge = `Bearer realm="pawl"` + more
	return p
}

func notPermitted(p auth.Principal, a access) string {
	if a.proved && !p.Authenticated() {
		return "This API authenticates nobody, so nobody may do this here: start it with --auth tokens."
	}
	may := slices.DeleteFunc(slices.Clone(rest.Roles), func(r rest.Role) bool { return a.of(r) == nothing })
	needed := strings.ReplaceAll(approval.List(may), ", ", " or ")
	if len(p.Roles) == 0 {
		return fmt.Sprintf("You are authenticated but have no role here; this needs the role %s.", needed)
	}
	has := slices.Sorted(slices.Values(p.Roles))
	return fmt.Sprintf("This needs the role %s; you have %s.", needed, approval.List(has))
}

// visible fails with store.ErrNotFound unless the principal may know of the call: somebody else's
// is not there for those who see their own only. IDs must be whole then, since what a prefix fits
// tells of others.
func (s *Server) visible(c *gin.Context, id string) error {
	if !onlyOwn(c) {
		return nil
	}
	err := s.asked(c.Request.Context(), principal(c).Subject, id)
	// By its form alone, so that it tells nothing of what is there.
	if errors.Is(err, store.ErrNotFound) && len(id) < len(approval.KeyedID("", "")) {
		err = errBeginning
	}
	return err
}

// callParam is idParam of a call that the principal may know of; see visible.
func (s *Server) callParam(c *gin.Context) (string, error) {
	id, err := idParam(c)
	if err == nil {
		err = s.visible(c, id)
	}
	return id, err
}

// errBeginning: an agent names a call by what may be the beginning of an ID.
var errBeginning = fmt.Errorf("not a whole ID: %w", store.ErrNotFound)

// asked returns nil if who asked for the call, else store.ErrNotFound, whether or not there is such
// a call.
func (s *Server) asked(ctx context.Context, who, id string) error {
	r, err := s.o.Store.Call(ctx, id)
	if err == nil && r.View.Requester == who {
		return nil
	}
	// Before the policy has answered, only Temporal has the call. Somebody else's is looked up there,
	// too: its ID can be guessed from its key, so neither the time taken nor an outage may show
	// whether it exists.
	d, missing := s.calls.Describe(ctx, id)
	switch {
	case errors.Is(missing, calls.ErrUnknown):
		return store.ErrNotFound
	case missing != nil:
		return missing
	}
	var requester string
	if err == nil || d.GetMemoValue(approval.MemoRequester, &requester) != nil || requester != who {
		return store.ErrNotFound
	}
	return nil
}

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
