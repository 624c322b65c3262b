package confluent

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// URLs of the registry, such as "https://registry:8081", or of several that share their
	// schemas: when one is away or broken the next is asked. Required.
	URLs []string
	// User and Password log in by basic authentication. Default: no login.
	User, Password string
	// Token logs in as a bearer, in place of User and Password. Default: none.
	Token string
	// TLS, if set, says which authorities sign the registry's certificate (RootCAs) and
	// which certificate this client shows (Certificates). Default: the machine's
	// authorities, and none.
	TLS *tls.Config
	// UserAgent is the name by which the registry knows this client in its logs.
	// Default: "choreo".
	UserAgent string
	// Timeout bounds one request to one URL. Default: 5 s.
	Timeout time.Duration
	// UnknownFor is how long an unknown id is believed to be so without asking again: payloads
	// with a wrong id may come by the thousand. Default: 1 s; negative: ask each time.
	UnknownFor time.Duration
}

// String hides the password and the token.
func (c Config) String() string {
	login := "no login"
	switch {
	case c.Token != "":
		login = "a token"
	case c.User != "":
		login = "user " + c.User
	}
	return fmt.Sprintf("%v with %s", c.URLs, login)
}

// GoString does, too.
func (c Config) GoString() string { return c.String() }

// withDefaults returns a checked copy with every default filled in.
func (c Config) withDefaults() (*Config, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("confluent: Config."+format, args...))
	}
	if len(c.URLs) == 0 {
		fault(`URLs is empty: name at least one, such as "https://registry:8081"`)
	}
	c.URLs = slices.Clone(c.URLs)
	for i, address := range c.URLs {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			fault("URLs[%d] cannot be used: write it as http://host:port or https://host:port", i)
		case u.User != nil:
			fault("URLs[%d] holds a login, which would show up in logs: use User and Password", i)
		case u.RawQuery != "" || u.Fragment != "":
			fault("URLs[%d] is %q: leave out all from '?' or '#' on", i, address)
		}
	}
	switch {
	case c.User == "" && c.Password != "":
		fault("User is empty although Password is set: set both")
	case c.User != "" && c.Token != "":
		fault("Token and User are both set: use one of them")
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
	}
	if c.UserAgent == "" {
		c.UserAgent = "choreo"
	}
	if c.Timeout < 0 {
		fault("Timeout is %s: use a positive duration, or 0 for 5s", c.Timeout)
	} else if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.UnknownFor == 0 {
		c.UnknownFor = time.Second
	}
	return &c, errors.Join(faults...)
}
