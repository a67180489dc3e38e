package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	owner = "pawl_owner"

	// patience bounds starts and stops.
	patience = time.Minute
)

// ErrNone: no Postgres is installed on this machine.
var ErrNone = errors.New(advice)

// Cluster is a Postgres server of its own, on a socket in a temporary folder. The kernel stops it
// should the test process die.
type Cluster struct {
	URL string // of its superuser, with a password

	bin, dir string
	durable  bool
	stopped  chan struct{} // closed when it has ended; nil: it does not run
	process  *os.Process
}

// NewCluster starts a server for one test, which may stop and start it; it is removed when the test
// ends. Without the programs the test is skipped, or fails under CI=true.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := start("", false)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(c.Remove)
	return c
}

// Durable starts a server for measurements, in a new folder within dir ("" is the system's for
// temporary files): with Postgres's own settings, where a commit is flushed to the disk, and not
// those that make tests fast. The caller removes it. The error is ErrNone where Postgres is not
// installed.
func Durable(dir string) (*Cluster, error) { return start(dir, true) }

// Start starts a server that was stopped.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server and breaks its connections.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if err := c.halt(syscall.SIGINT); err != nil { // "fast", see postgres(1)
		t.Fatal(err)
	}
}

// Command is the server's process, for a test that starts and kills it itself. Call Stop before. A
// killed server starts again only when the processes of its connections have ended, too, and says
// so until then.
func (c *Cluster) Command() *exec.Cmd {
	args := []string{"-D", filepath.Join(c.dir, "data"), "-k", c.dir,
		"-c", "listen_addresses=", "-c", "max_connections=200"}
	if !c.durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off")
	}
	server := exec.Command(filepath.Join(c.bin, "postgres"), args...)
	server.Dir, server.SysProcAttr = c.dir, attributes()
	return server
}

// Ping fails while the server takes no connections.
func (c *Cluster) Ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Standby makes a stopped server start as a standby, without a primary.
func (c *Cluster) Standby(t testing.TB) {
	t.Helper()
	file := filepath.Join(c.dir, "data", "standby.signal")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), giveAway(file)); err != nil {
		t.Fatal(err)
	}
}

// find looks for the folder of the programs, the newest first.
func find() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		if err == nil && isFile(filepath.Join(filepath.Dir(path), "postgres")) {
			return filepath.Dir(path), nil
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
	} {
		folders, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.Sort(folders)
		for _, bin := range slices.Backward(folders) {
			if isFile(filepath.Join(bin, "initdb")) && isFile(filepath.Join(bin, "postgres")) {
				return bin, nil
			}
		}
	}
	return "", ErrNone
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func start(within string, durable bool) (_ *Cluster, err error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(within, "pawlpg") // short: a socket's path has 107 bytes at most
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	c := &Cluster{bin: bin, dir: dir, durable: durable, URL: (&url.URL{
		Scheme: "postgres", User: url.UserPassword(owner, password), Path: "/postgres",
		RawQuery: url.Values{"host": {dir}}.Encode(),
	}).String()}
	defer func() {
		if err != nil {
			c.Remove()
		}
	}()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := giveAway(dir, file); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"),
		"--pgdata="+filepath.Join(dir, "data"), "--username="+owner, "--pwfile="+file,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attributes()
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return c, c.run()
}

func (c *Cluster) run() error {
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server := c.Command()
	server.Stderr = log
	started, stopped := make(chan error), make(chan struct{})
	go func() {
		// A parent's death is that of the thread that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait() // its exit status says how it was stopped
			close(stopped)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start Postgres: %w", err)
	}
	c.process, c.stopped = server.Process, stopped
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := c.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-stopped:
			c.stopped = nil
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server stopped while it started:\n%s", said)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server does not start: %w", err), c.halt(syscall.SIGKILL))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *Cluster) halt(how syscall.Signal) error {
	if c.stopped == nil {
		return nil
	}
	stopped := c.stopped
	c.stopped = nil
	if err := c.process.Signal(how); err != nil {
		return err
	}
	select {
	case <-stopped:
		return nil
	case <-time.After(patience):
		return errors.Join(errors.New("the server does not stop"), c.process.Kill())
	}
}

// Remove stops the server and removes its folder. Tests need not call it.
func (c *Cluster) Remove() {
	err := errors.Join(c.halt(syscall.SIGQUIT), os.RemoveAll(c.dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest: remove the cluster:", err)
	}
}
