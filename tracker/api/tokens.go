package api

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// Tokens are bearer tokens, of which only hashes are kept. It is safe for concurrent use.
type Tokens struct {
	file string // that they come from; empty: from none

	mu      sync.RWMutex
	entries []tokenEntry // is replaced, never changed
	sum     [sha256.Size]byte
}

type tokenEntry struct {
	who  Identity
	hash [sha256.Size]byte
}

const (
	tokenPrefix = "choreo_" // so that scanners for secrets find one that leaked
	hashPrefix  = "sha256:"
	maxTokens   = 10_000
	maxNameLen  = 128
)

// NewToken makes a token for somebody, and the line by which a file of tokens knows it. The token
// is random and of 256 bits, so that a plain hash of it tells nothing about it.
func NewToken(name string, role Role) (token, line string, err error) {
	if err := checkName(name); err != nil {
		return "", "", fmt.Errorf("api: new token: %w", err)
	}
	if _, err := ParseRole(string(role)); err != nil {
		return "", "", fmt.Errorf("api: new token: %w", err)
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(token))
	return token, fmt.Sprintf("%s %s %s%x", name, role, hashPrefix, hash), nil
}

// ReadTokens reads lines "name role sha256:hash" as [NewToken] makes them. Empty lines, and what
// begins with '#', say nothing. The error names every bad line.
func ReadTokens(r io.Reader) (*Tokens, error) {
	var t Tokens
	var faults []error
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseToken(line)
		if err != nil {
			faults = append(faults, fmt.Errorf("api: tokens: line %d: %w", n, err))
			continue
		}
		if t.entries = append(t.entries, e); len(t.entries) > maxTokens {
			return nil, fmt.Errorf("api: tokens: there are more than %d: use OIDC for so many people", maxTokens)
		}
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("api: tokens: %w", err))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &t, nil
}

func parseToken(line string) (tokenEntry, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return tokenEntry{}, errors.New("write name, role and sha256:hash, with blanks between")
	}
	if err := checkName(fields[0]); err != nil {
		return tokenEntry{}, err
	}
	role, err := ParseRole(fields[1])
	if err != nil {
		return tokenEntry{}, err
	}
	e := tokenEntry{who: Identity{Name: fields[0], Role: role}}
	digits, ok := strings.CutPrefix(fields[2], hashPrefix)
	hash, err := hex.DecodeString(digits)
	if !ok || err != nil || len(hash) != len(e.hash) {
		// The field is not told: somebody may have put the token itself there.
		return tokenEntry{}, errors.New("the third word is not \"sha256:\" and 64 hexadecimal digits: it is the hash of the token, see NewToken")
	}
	copy(e.hash[:], hash)
	return e, nil
}

func checkName(name string) error {
	switch {
	case name == "" || strings.HasPrefix(name, "#"):
		return fmt.Errorf("name %q: say whose token it is", name)
	case len(name) > maxNameLen:
		return fmt.Errorf("a name has %d bytes: at most %d", len(name), maxNameLen)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return fmt.Errorf("name %q: use no blanks", name)
	}
	return nil
}

// Len returns how many tokens there are.
func (t *Tokens) Len() int { return len(t.all()) }

func (t *Tokens) all() []tokenEntry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.entries
}

// find returns whose token it is. It takes as long for each that is wrong.
func (t *Tokens) find(token string) (Identity, bool) {
	hash := sha256.Sum256([]byte(token))
	var who Identity
	var found bool
	entries := t.all()
	for i := range entries {
		if subtle.ConstantTimeCompare(hash[:], entries[i].hash[:]) == 1 {
			who, found = entries[i].who, true
		}
	}
	return who, found
}
