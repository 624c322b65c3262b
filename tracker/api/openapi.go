package api

import (
	_ "embed"
	"net/http"
	"slices"
)

//go:embed openapi.json
var document []byte

// OpenAPI returns the document that describes the API, in OpenAPI 3.1.
func OpenAPI() []byte { return slices.Clone(document) }

func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-cache")
	_, _ = w.Write(document) // a client that is gone needs no answer
	return nil
}
