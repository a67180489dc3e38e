package api

import (
	_ "embed"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/rest"
)

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
var features = []string{}

func (s *Server) version(c *gin.Context) error {
	return reply(c, http.StatusOK, rest.Version{Version: build.Version(), Features: features})
}
