package api

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/api/web"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/rest"
)

// route is one row of the contract: what is served, and who may have it. openapi.yaml describes the
// same routes, and a test compares.
type route struct {
	method, path string // parameters of the path stand in braces
	access       access // docs/security.md shows it, and a test compares
	params       string // of the query, with spaces between them
	what         string
	handle       handler // nil: serveCodec does
}

// access says who may use a route, and how far they get there.
type access struct {
	public bool // without credentials, too
	proved bool // not where nobody is authenticated

	agent, reviewer, auditor, admin reach
}

// reach is how far a role gets on a route.
type reach int

const (
	nothing reach = iota
	own           // the calls that it asked for; others are not there
	all
)

// of returns how far a role gets.
func (a access) of(r rest.Role) reach {
	switch r {
	case rest.RoleAgent:
		return a.agent
	case rest.RoleReviewer:
		return a.reviewer
	case rest.RoleAuditor:
		return a.auditor
	case rest.RoleAdmin:
		return a.admin
	}
	return nothing
}

// reachOf is how far a principal gets: as far as the best of its roles. Nobody's word is taken for
// which calls are theirs where nobody is authenticated: there all are everybody's.
func (a access) reachOf(p auth.Principal) reach {
	best := nothing
	if a.proved && !p.Authenticated() {
		return nothing
	}
	for _, role := range p.Roles {
		best = max(best, a.of(role))
	}
	if best == own && !p.Authenticated() {
		return all
	}
	return best
}

// What several routes have in common.
var (
	public    = access{public: true}
	everybody = access{agent: all, reviewer: all, auditor: all, admin: all}
	readers   = access{agent: own, reviewer: all, auditor: all, admin: all}
	people    = access{reviewer: all, auditor: all, admin: all}
	reviewers = access{reviewer: all}
	admins    = access{admin: all}

	// Tokens and keys mean nothing where nobody is authenticated.
	provedAuditors = access{proved: true, auditor: all, admin: all}
	provedAdmins   = access{proved: true, admin: all}
	signedIn       = access{proved: true, agent: all, reviewer: all, auditor: all, admin: all}
)

// routes is the whole of what is served, and of who may do what.
func (s *Server) routes() []route {
	const get, post, put = http.MethodGet, http.MethodPost, http.MethodPut
	const paging = "cursor limit"
	return []route{
		{get, "/", public, "", "the page where people decide; without text/html, this list", s.index},

		// The raw result of a call is its requester's alone, so nobody else has any use of /api/calls,
		// but to withdraw: everybody else sees requests, redacted.
		{post, "/api/calls", access{agent: own}, "",
			"start a call, and wait for its outcome if asked to", s.startCall},
		{get, "/api/calls/{id}", access{agent: own}, "wait", "a call's state or outcome", s.getCall},
		{post, "/api/calls/wait", access{agent: own}, "", "wait for several calls at once", s.waitCalls},
		{post, "/api/calls/{id}/release", access{agent: own}, "", "wait no longer for a call", s.releaseCall},
		{post, "/api/calls/{id}/start", access{agent: own}, "", "start a tool that you run yourself", s.startTool},
		{post, "/api/calls/{id}/outcome", access{agent: own}, "", "report how that tool ended", s.reportOutcome},
		{put, "/api/agents/{agent}/tools", access{agent: own}, "",
			"say which tools an agent runs itself", s.putOwnTools},
		{post, "/api/calls/{id}/cancel", access{agent: own, admin: all}, "", "withdraw a call", s.cancelCall},

		{post, "/api/calls/{id}/erase", admins, "", "erase what a call that has ended said", s.eraseCall},

		{post, "/api/sessions/{session}/cancel", access{agent: own, admin: all}, "",
			"withdraw all calls of a session that have not started", s.cancelSession},

		{get, "/api/requests", readers, "status tool agent session risk by may since until order " + paging,
			"calls that wait or waited for people", s.listRequests},
		{get, "/api/requests/{id}", readers, "", "one call with its timeline", s.getRequest},
		{post, "/api/requests/{id}/approve", reviewers, "", "approve", s.decide(approval.Approve)},
		{post, "/api/requests/{id}/reject", reviewers, "", "reject", s.decide(approval.Reject)},
		{post, "/api/decisions", reviewers, "", "decide about many calls at once", s.decideMany},
		{post, "/api/requests/{id}/settle", reviewers, "",
			"say what became of a call whose outcome is unknown", s.settle},
		{get, "/api/requests/{id}/decisions/{decision_id}", readers, "",
			"what became of a decision", s.getDecision},
		{get, eventsPath, readers, "", "server-sent events: which requests change", s.streamEvents},

		{get, "/api/audit", access{auditor: all, admin: all},
			"request_id kind tool agent status risk by order since until " + paging, "the audit log", s.listAudit},
		{get, "/api/audit/export", access{auditor: all, admin: all},
			"request_id kind tool agent status risk by since until cursor", "the audit log, as lines of JSON",
			s.exportAudit},
		{get, "/api/audit/checkpoint", access{auditor: all, admin: all}, "",
			"the last signed checkpoint of the audit log", s.getCheckpoint},
		{get, "/api/audit/proof/{id}", access{auditor: all, admin: all}, paging,
			"proofs that a call's entries are in the audit log", s.proveAudit},
		{get, "/api/tools", everybody, "", "the catalogue of tools", s.listTools},

		{get, "/api/policy", people, "", "the active policy", s.getPolicy},
		{put, "/api/policy", admins, "", "apply a policy, or say what is wrong with it", s.putPolicy},
		{get, "/api/policy/history", people, paging, "which policy was applied when and by whom",
			listPages(s.o.Store.PolicyVersions)},
		{get, "/api/policy/{digest}", people, "", "a policy that was applied once", s.getPolicyText},

		{get, "/api/whoami", everybody, "", "who you are here, and what you may do", s.whoami},
		{get, sessionPath, public, "", "how people sign in here", s.signInWays},
		{post, sessionPath, public, "", "sign in, with a token or a code", s.signIn},
		{http.MethodDelete, sessionPath, everybody, "everywhere", "sign out, here or everywhere", s.signOut},
		{post, "/auth/links", signedIn, "", "make a code that signs you in elsewhere", s.newLink},
		{get, "/auth/login", public, "to", "sign in at the OpenID Connect issuer", s.login},
		{get, callbackPath, public, anyParams, "where the issuer sends people back to", s.callback},

		{get, "/api/tokens", provedAuditors, paging, "tokens, without their secrets",
			listPages(s.o.Store.Tokens)},
		{post, "/api/tokens", provedAdmins, "", "make a token; only this answer has its text", s.newToken},
		{post, "/api/tokens/{id}/revoke", provedAdmins, "", "revoke a token at once", s.revokeToken},
		{get, "/api/keys", provedAuditors, paging, "keys whose signatures on decisions are trusted",
			listPages(s.o.Store.SigningKeys)},
		{post, "/api/keys/rotate", provedAdmins, "", "give this API a new signing key", s.rotateKey},
		{post, "/api/keys/{id}/retire", provedAdmins, "",
			"trust no signature that a key makes from now on", s.endKey(false)},
		{post, "/api/keys/{id}/revoke", provedAdmins, "",
			"trust no signature that a key ever made", s.endKey(true)},

		// What is encrypted is all of every call, so who may have it decoded is whoever operates
		// Temporal.
		{post, codecPath + "decode", admins, "",
			"for Temporal's UI and command line: show encrypted payloads", nil},
		{post, codecPath + "encode", admins, "", "the reverse, where that is switched on", nil},

		{get, "/openapi.yaml", public, "", "this contract, as OpenAPI 3.1", s.openapi},
		{get, "/api/version", public, "", "the version of Pawl that answers, and what it offers", s.version},
		{get, "/healthz", public, "", "200 while the process serves", s.healthz},
		{get, "/readyz", public, "", // details need credentials
			"200 while everything it needs can be reached, and what is missing", s.readyz},
	}
}

// register gives the engine all routes.
func (s *Server) register(e *gin.Engine) {
	braces := strings.NewReplacer("{", ":", "}", "")
	s.access, s.methods = map[string]access{}, map[string][]string{}
	for _, r := range s.routes() {
		path := braces.Replace(r.path)
		if !strings.Contains(path, ":") {
			s.methods[path] = append(s.methods[path], r.method)
		}
		s.access[r.method+" "+path] = r.access
		if r.handle == nil {
			continue
		}
		h := s.answer(withParams(r.handle, strings.Fields(r.params)))
		if r.path == "/" {
			h = s.orPage(h)
		}
		e.Handle(r.method, path, h)
		if r.method == http.MethodGet {
			if own := s.methods[path]; own != nil {
				s.methods[path] = append(own, http.MethodHead)
			}
			e.Handle(http.MethodHead, path, h)
		}
	}
	s.registerPage(e, braces.Replace(web.AssetPath), asset)
	for _, address := range web.Addresses {
		s.registerPage(e, braces.Replace(address), page)
	}
}

// registerPage serves part of the page at an address. The page is the same for everybody and holds
// nothing of anybody, and its addresses are no part of the contract.
func (s *Server) registerPage(e *gin.Engine, path string, h handler) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		s.access[method+" "+path] = public
		if !strings.Contains(path, ":") {
			s.methods[path] = append(s.methods[path], method)
		}
		e.Handle(method, path, s.answer(h))
	}
}

// orPage answers with the page if a browser asks, whose queries are the page's affair.
func (s *Server) orPage(list gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		if web.WantsPage(c.Request) {
			s.answer(page)(c)
			return
		}
		c.Header("Vary", "Accept")
		list(c)
	}
}

func page(c *gin.Context) error {
	web.ServePage(c.Writer, c.Request)
	return nil
}

func asset(c *gin.Context) error {
	if !web.ServeAsset(c.Writer, c.Request, c.Param("file")) {
		return newProblem(http.StatusNotFound, rest.CodeNoRoute,
			"The page has no such part in this version; load it again.")
	}
	return nil
}

// contract describes everything that this package serves. It is kept by hand; tests send their
// requests and answers through it.
//
//go:embed openapi.yaml
var contract []byte

func (s *Server) openapi(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", contract)
	return nil
}

// features are what this API offers beyond the first version of its contract.
var features = []string{"caller", "events", "sessions"}

func (s *Server) version(c *gin.Context) error {
	return reply(c, http.StatusOK, rest.Version{Version: build.Version(), Features: features})
}
