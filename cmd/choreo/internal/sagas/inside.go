package sagas

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// inside is a transport that hands requests to a handler of this process: what reads the topics
// itself answers by the very code that a tracker does.
type inside struct{ handler http.Handler }

// RoundTrip returns once the handler has begun to answer.
func (t inside) RoundTrip(req *http.Request) (*http.Response, error) {
	read, write := io.Pipe()
	w := &answer{header: http.Header{}, body: write, begun: make(chan struct{})}
	asked := req.Clone(req.Context())
	asked.RequestURI, asked.RemoteAddr, asked.Host = req.URL.RequestURI(), "127.0.0.1:0", req.URL.Host
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	go func() {
		// A handler that ends a stream by a panic of http.ErrAbortHandler means just that.
		defer func() {
			w.WriteHeader(http.StatusOK)
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // as net/http has it
				panic(fault)
			}
			_ = write.Close() // of a pipe it never fails
		}()
		t.handler.ServeHTTP(w, asked)
	}()
	select {
	case <-w.begun:
	case <-req.Context().Done():
		_ = read.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: read, ContentLength: -1, Request: req,
	}, nil
}

// answer is the writer of the handler.
type answer struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	once         sync.Once
	begun        chan struct{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(data)
}

// Flush begins the answer: nothing is held back.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

// SetWriteDeadline is what streams ask for; there is nobody slow on the way.
func (a *answer) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline is as SetWriteDeadline.
func (a *answer) SetReadDeadline(time.Time) error { return nil }
