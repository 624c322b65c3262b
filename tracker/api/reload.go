package api

import (
	"context"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"
)

// reloadEvery is how often a file of tokens is looked at for a change.
const reloadEvery = 2 * time.Second

// Watch reads the file of tokens again whenever it changes, and at each signal of now, which may be nil,
// until ctx ends: then it returns nil. A token that is no longer in it is refused from then on. A file that
// is broken, away or empty leaves the tokens as they are; the log says what is wrong with it. Tokens
// that come of no file do not change.
func (t *Tokens) Watch(ctx context.Context, now <-chan os.Signal, log *zap.Logger) error {
	if log == nil {
		log = zap.NewNop()
	}
	if t.file == "" {
		<-ctx.Done()
		return nil
	}
	every := time.NewTicker(reloadEvery)
	defer every.Stop()
	seen := t.seen
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-now:
			asked = true
		case <-every.C:
		}
		is := stateOf(t.file)
		if !asked && is == seen {
			continue
		}
		seen = is
		if err := t.reload(); err != nil {
			log.Error("The file of tokens cannot be read, and those that were read before stay", zap.String("file", t.file), zap.Error(err))
			continue
		}
		log.Info("The file of tokens was read again", zap.String("file", t.file), zap.Int("tokens", t.Len()))
	}
}

// reload puts what the file holds in the place of the tokens.
func (t *Tokens) reload() error {
	fresh, err := LoadTokens(t.file)
	if err == nil && fresh.Len() == 0 {
		err = errNoTokens
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = fresh.entries
	return nil
}

// fileState tells whether a file has changed. An editor may put another file in its place, and Kubernetes
// a link to one, at the same time and of the same size.
type fileState struct {
	at    time.Time
	size  int64
	there bool
	id    any
}

func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if err != nil {
		return fileState{}
	}
	return fileState{at: info.ModTime(), size: info.Size(), there: true, id: identityOf(info)}
}

var _ fs.FileInfo = (fs.FileInfo)(nil)
