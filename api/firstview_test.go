package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// BenchmarkFirstView asks over HTTP for what the page shows first, which is the requests with the nearest
// deadlines, while 100 wait and while 100,000 do. Its figures stand in docs/performance.md.
func BenchmarkFirstView(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) (store.Store, error){
		"sqlite": func(b *testing.B) (store.Store, error) {
			return sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "pawl.db")})
		},
		"postgres": func(b *testing.B) (store.Store, error) {
			return postgres.Open(b.Context(), postgres.Options{URL: pgtest.New(b)})
		},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := open(b)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			server := httptest.NewServer(newWorld(b, func(o *Options) { o.Store = s }).server)
			defer server.Close()
			have := 0
			for _, waiting := range []int{100, 100_000} {
				admitWaiting(b, s, have, waiting)
				have = waiting
				b.Run(strconv.Itoa(waiting), func(b *testing.B) {
					for b.Loop() {
						firstView(b, server.URL+"/api/requests?status=pending&order=deadline&limit=100")
					}
				})
			}
		})
	}
}

// admitWaiting admits calls that wait for people, until there are so many.
func admitWaiting(b *testing.B, s store.Store, have, most int) {
	b.Helper()
	var writers sync.WaitGroup
	const parallel = 16
	for first := range parallel {
		writers.Go(func() {
			for i := have + first; i < most; i += parallel {
				a, err := storetest.Sample("pawl-"+strconv.Itoa(i), true)
				if err == nil {
					_, _, err = s.Admit(b.Context(), a)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

func firstView(b *testing.B, url string) {
	b.Helper()
	answer, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var page rest.Page[json.RawMessage]
	if err == nil {
		err = json.Unmarshal(text, &page)
	}
	if err != nil || answer.StatusCode != http.StatusOK || len(page.Items) != 100 {
		b.Fatalf("%s: %d requests, %v", answer.Status, len(page.Items), err)
	}
}
