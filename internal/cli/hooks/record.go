package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/pawlhq/pawl/internal/osfile"
)

// record is what install has done for this user: for hooks to find their token, and for uninstall.
type record struct {
	Folders  []string        `json:"folders,omitempty"`  // of settings, made by install
	Settings []string        `json:"settings,omitempty"` // that the hook was put into
	APIs     map[string]kept `json:"apis,omitempty"`     // by their address
}

// kept is what there is for one API.
type kept struct {
	Token   string `json:"token,omitempty"`    // the file with the agent's token
	TokenID string `json:"token_id,omitempty"` // of one that install has made
	Layer   string `json:"layer,omitempty"`    // SHA-256 of the layer that install has added
	// Followed says that it was added over files that a process follows, and so gets lost.
	Followed bool `json:"followed,omitempty"`
}

func recordFile() (string, error) { return ownDir(agent + ".json") }

func readRecord() (r record, err error) {
	file, err := recordFile()
	if err != nil {
		return r, err
	}
	doc, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(doc, &r)
	}
	if err != nil {
		err = fmt.Errorf("what 'pawl hook claude-code install' has noted can't be read:\n  %s\n%w", file, err)
	}
	return r, err
}

// changeRecord changes the record, as nobody else does meanwhile. One without anything in it is removed.
func changeRecord(change func(*record)) error {
	file, err := recordFile()
	if err == nil {
		err = osfile.PrivateDir(filepath.Dir(file))
	}
	if err != nil {
		return err
	}
	lock, err := osfile.OpenLocked(file+".lock", os.O_RDWR|os.O_CREATE, osfile.Wait)
	if err != nil {
		return err
	}
	defer lock.Close()
	r, err := readRecord()
	if err != nil {
		return err
	}
	if r.APIs == nil {
		r.APIs = map[string]kept{}
	}
	change(&r)
	for _, list := range []*[]string{&r.Folders, &r.Settings} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for api, k := range r.APIs {
		if k == (kept{}) {
			delete(r.APIs, api)
		}
	}
	if len(r.Folders)+len(r.Settings)+len(r.APIs) == 0 {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return osfile.Replace(file, append(doc, '\n'), 0o600)
}
