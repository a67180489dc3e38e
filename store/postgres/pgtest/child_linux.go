package pgtest

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// account is whom Postgres runs as where the tests run as root, which it refuses to do; nil
// elsewhere.
var account = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
})

// giveAway makes files those of the account.
func giveAway(paths ...string) error {
	who, err := account()
	if err != nil || who == nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// SmallDisk makes a tablespace on a disk of 24 MiB, and returns a folder that is on it, too. Without the right
// to mount one the test is skipped.
func (c *Cluster) SmallDisk(t testing.TB, tablespace string) string {
	t.Helper()
	dir := filepath.Join(c.dir, tablespace)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=700"); err != nil {
		t.Skipf("SKIPPED: a small disk can't be mounted here (%v): nothing shows what happens on a full one", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil { // the server still has files open
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), giveAway(dir, data)); err != nil {
		t.Fatal(err)
	}
	Exec(t, c.URL, `CREATE TABLESPACE `+tablespace+` LOCATION '`+data+`'`)
	return dir
}

func attributes() *syscall.SysProcAttr {
	who, _ := account() // giveAway was before
	return &syscall.SysProcAttr{Credential: who, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}
