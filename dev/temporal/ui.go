package temporal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/cors"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// webUI serves Temporal's web UI. It is put together from ui-server's own handlers, because
// ui-server's Start opens its port itself, ends the process if it cannot, and never closes its
// connection to the frontend.
type webUI struct {
	http *http.Server
	conn *grpc.ClientConn
}

// newWebUI prepares the UI for a frontend that need not answer yet. It is to be served on l.
func newWebUI(frontend string, l net.Listener, o Options) (*webUI, error) {
	provider, err := config.NewConfigProviderWithRefresh(&config.Config{
		TemporalGRPCAddress: frontend,
		EnableUI:            true,
		DefaultNamespace:    o.Namespace,
		// The dev stack is plain HTTP: a Secure cookie would not come back, and every button in the UI
		// would fail its CSRF check.
		CORS:             config.CORS{CookieInsecure: true},
		Codec:            config.Codec{Endpoint: o.CodecEndpoint},
		HideLogs:         true,
		DisableNewsFetch: true, // nothing is fetched from outside
	})
	if err != nil {
		return nil, fmt.Errorf("temporal: configure web UI: %w", err)
	}
	conn, err := api.CreateGRPCConnection(provider)
	if err != nil {
		return nil, fmt.Errorf("temporal: connect web UI to %s: %w", frontend, err)
	}
	handler, err := uiHandler(provider, conn, o.Logger)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &webUI{
		conn: conn,
		http: &http.Server{
			Handler:           guardUI(handler, o.UIListen, dialable(l)),
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		},
	}, nil
}

func uiHandler(
	provider *config.ConfigProviderWithRefresh, conn *grpc.ClientConn, logger *slog.Logger,
) (http.Handler, error) {
	e := echo.New()
	e.Logger.SetOutput(lineWriter{slog: logger}) // echo logs to stdout otherwise
	e.Use(middleware.Recover())
	e.Use(middleware.Gzip())
	e.Use(cors.CORSMiddleware(cors.CORSConfig{ConfigProvider: provider}))
	e.Use(middleware.Secure())
	e.Use(csrf.EnsureTokenCookie(false))
	e.Use(middleware.CSRFWithConfig(csrf.MiddlewareConfig(provider, false)))

	forward := []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}
	v1 := e.Group("/api/v1")
	v1.GET("/settings", api.GetSettings(provider))
	v1.GET("/releases", func(c echo.Context) error { // asks GitHub in ui-server
		return c.JSON(http.StatusOK, api.LatestReleasesResponse{Releases: map[string]string{}})
	})
	v1.GET("/ui-extensions", api.GetUIExtensions(provider, api.TemporalAccessCheck(conn, forward)))
	workflows := workflowservice.NewWorkflowServiceClient(conn)
	v1.GET(api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(workflows))
	v1.Match([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		"/*", api.TemporalAPIHandler(provider, forward, conn))
	route.SetHealthRoute(e)

	assets, err := ui.Assets()
	if err != nil {
		return nil, fmt.Errorf("temporal: open web UI assets: %w", err)
	}
	if assets, err = fs.Sub(assets, "local"); err != nil {
		return nil, fmt.Errorf("temporal: open web UI assets: %w", err)
	}
	if err := route.SetUIRoutes(e, "", assets, provider); err != nil {
		return nil, fmt.Errorf("temporal: open web UI assets: %w", err)
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

// serve answers requests until close. An end of its own accord goes to failed.
func (u *webUI) serve(l net.Listener, failed *failure) {
	if err := u.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		failed.set(fmt.Errorf("temporal: web UI stopped serving: %w", err))
	}
}

// close ends what runs: a page that polls would otherwise hold up a graceful end.
func (u *webUI) close(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	err := u.http.Shutdown(short)
	if errors.Is(err, context.DeadlineExceeded) {
		err = u.http.Close()
	}
	return errors.Join(err, u.conn.Close())
}
