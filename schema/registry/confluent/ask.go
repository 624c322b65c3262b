package confluent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/choreo-go/choreo/schema"
)

// maxResponse bounds what is read of a response, in bytes. The largest is the list of all
// subjects.
const maxResponse = 64 << 20

// newClients returns a client for each URL. A client of several would go on to the next
// when one is away, but not when it answers that it is broken.
func newClients(c *Config) ([]*sr.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.TLS != nil {
		transport.TLSClientConfig = c.TLS
	}
	options := []sr.ClientOpt{
		sr.HTTPClient(&http.Client{Transport: bounded{transport}}), // ask bounds the time
		sr.UserAgent(c.UserAgent),
	}
	if c.User != "" {
		options = append(options, sr.BasicAuth(c.User, c.Password))
	}
	if c.Token != "" {
		options = append(options, sr.BearerToken(c.Token))
	}
	clients := make([]*sr.Client, len(c.URLs))
	for i, address := range c.URLs {
		client, err := sr.NewClient(append(options, sr.URLs(address))...)
		if err != nil {
			return nil, err
		}
		clients[i] = client
	}
	return clients, nil
}

// bounded bounds the bodies of responses: the client reads them whole.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxResponse)
	}
	return resp, err
}

// ask calls one client after the other, from the one that answered last on, until one answers.
func (r *Registry) ask(ctx context.Context, call func(context.Context, *sr.Client) error) error {
	var faults []error
	first := int(r.answered.Load())
	for i := range r.clients {
		at := (first + i) % len(r.clients)
		attempt, cancel := context.WithTimeoutCause(ctx, r.config.Timeout,
			fmt.Errorf("no answer within Config.Timeout, %s", r.config.Timeout))
		err := call(attempt, r.clients[at])
		if err != nil && attempt.Err() != nil {
			err = context.Cause(attempt)
		}
		cancel()
		if err == nil || answers(err) {
			r.answered.Store(int32(at))
			return err
		}
		faults = append(faults, unanswered(r.config.URLs[at], err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

// answers says whether an error is the registry's answer: another one of the same schemas
// would say the same.
func answers(err error) bool {
	var resp *sr.ResponseError
	return errors.As(err, &resp) && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
}

// unanswered says what can be done where there was no answer.
func unanswered(url string, err error) error {
	var resp *sr.ResponseError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &resp):
		return fmt.Errorf("the registry at %s is broken or busy (%s): try again later, and look into its log", url, said(resp))
	case errors.As(err, &certificate):
		return fmt.Errorf("the registry at %s shows a certificate that is not trusted: put its authority into Config.TLS.RootCAs: %w", url, err)
	default:
		return fmt.Errorf("the registry at %s cannot be reached: see whether it runs and Config.URLs is right: %w", url, err)
	}
}

// explain says what the answer of a registry means and what to do about it.
func explain(err error) error {
	var resp *sr.ResponseError
	if !errors.As(err, &resp) || !answers(err) {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("the registry refuses the login (%s): check User and Password, or Token, in Config", said(resp))
	case resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the registry does not allow it (%s): have it granted to the login in Config", said(resp))
	case unknown(err):
		return fmt.Errorf("%w: %s", schema.ErrUnknownSchema, resp.Message)
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("there is no schema registry at %s (%s): check the path in Config.URLs; of Apicurio Registry it ends in /apis/ccompat/v7", resp.URL, said(resp))
	case overtaken(err):
		return fmt.Errorf("the registry is busy with others who register the same (%s): try again", said(resp))
	case resp.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w: the registry says: %s", schema.ErrIncompatible, said(resp))
	case resp.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("the registry finds it invalid: mend it: %s", said(resp))
	default:
		return fmt.Errorf("the registry at %s refuses it: %s", resp.URL, said(resp))
	}
}

// unknown says whether the registry knows no such id, subject or version. A server that is
// no registry answers 404, too, but without a code of theirs.
func unknown(err error) bool {
	var resp *sr.ResponseError
	return errors.As(err, &resp) && resp.StatusCode == http.StatusNotFound && resp.ErrorCode/100 == 404
}

// overtaken says whether a registration failed because another one under the same subject
// was quicker. The code is that of an incompatible schema, so that the words have to tell.
func overtaken(err error) bool {
	var resp *sr.ResponseError
	return errors.As(err, &resp) && resp.StatusCode == http.StatusConflict && strings.Contains(resp.Message, "already exists")
}

// said is what a response said, at a length for people.
func said(resp *sr.ResponseError) string {
	const most = 2000
	text := strings.TrimSpace(resp.Error())
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fmt.Sprintf("%d: %s", resp.StatusCode, text)
}
