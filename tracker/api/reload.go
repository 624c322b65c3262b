package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// reloadEvery is how often a file of tokens is looked at for a change.
const reloadEvery = 2 * time.Second

// LoadTokens reads a file of tokens, see [ReadTokens]. [Tokens.Follow] reads it again when it changes.
func LoadTokens(file string) (*Tokens, error) {
	t := &Tokens{file: file}
	if _, err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Follow reads the file of tokens again when it changes, and at each signal of now, which may be nil,
// until ctx ends: then it returns nil. A token that is no longer in the file is refused from then on. A
// file that is broken, away or empty leaves the tokens as they are; the log says what is wrong with
// it. Tokens of no file do not change. It is called once.
func (t *Tokens) Follow(ctx context.Context, now <-chan os.Signal, log *zap.Logger) error {
	if log == nil {
		log = zap.NewNop()
	}
	every := time.NewTicker(reloadEvery)
	defer every.Stop()
	told := "" // a fault is told once, not at each look
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-now:
			asked, told = true, ""
		case <-every.C:
		}
		if t.file == "" {
			continue
		}
		switch changed, err := t.reload(); {
		case err != nil && err.Error() != told:
			told = err.Error()
			log.Error("The tokens cannot be read again, so that those that were read before stay", zap.Error(err))
		case err == nil && (changed || asked || told != ""):
			told = ""
			log.Info("The tokens were read again", zap.String("file", t.file), zap.Int("tokens", t.Len()))
		}
	}
}

// reload puts what the file holds in the place of the tokens, and reports whether it has changed.
func (t *Tokens) reload() (changed bool, err error) {
	data, err := os.ReadFile(t.file)
	if err != nil {
		return false, fmt.Errorf("api: tokens: %w: make the file from the lines of NewToken", err)
	}
	sum := sha256.Sum256(data)
	t.mu.RLock()
	same, first := sum == t.sum, t.sum == [sha256.Size]byte{}
	t.mu.RUnlock()
	if same {
		return false, nil
	}
	fresh, err := ReadTokens(bytes.NewReader(data))
	if err == nil && !first && fresh.Len() == 0 {
		err = errors.New("api: tokens: there is none, as if the file was being written: to let nobody in, stop the tracker")
	}
	if err != nil {
		return false, fmt.Errorf("%w (in %s)", err, t.file)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries, t.sum = fresh.entries, sum
	return true, nil
}
