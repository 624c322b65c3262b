package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/choreo-go/choreo/tracker/api"
)

func Example() {
	// In a program, Sagas is a *tracker.Tracker.
	server, err := api.New(api.Source{Sagas: newFake()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	local := httptest.NewServer(server.Handler()) // or server.ListenAndServe(ctx)
	defer local.Close()

	res, err := http.Get(local.URL + "/api/v1/counts?by=status")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s", body)

	_, err = api.New(api.Source{Sagas: newFake()}, &api.Config{Address: ":7654"})
	fmt.Println(err)
	// Output:
	// {"counts":[{"key":"running","count":3,"oldest":"2026-01-31T12:00:00Z"},{"key":"completed","count":1},{"key":"parked","count":1,"oldest":"2026-01-31T12:00:04Z"}],"freshness":{"lag_events":3,"lag_seconds":0.25}}
	// api: Config.Address is :7654, which others can reach, and there is no authentication: set Tokens or OIDC, or listen at 127.0.0.1:7654
}
