package connect

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

// Needs says which settings a command has.
type Needs uint8

// What a command may need.
const (
	Namespace Needs = 1 << iota
	Brokers
	Registry
	Tracker
	Database
)

// setting is one value that may be given as a flag, in the environment, and in a profile.
type setting struct {
	flag, env string
	needs     Needs
	value     string // default
	usage     string
	isBool    bool
}

// settings returns all settings that are no secrets.
func settings() []setting {
	both := Brokers | Registry | Tracker
	all := both | Namespace | Database
	return []setting{
		{flag: "tracker", env: "CHOREO_TRACKER", needs: Tracker, usage: "`URL` of a tracker to ask; without it and without brokers, " + LocalTracker},
		{flag: "tracker-token-file", env: trackerToken + "_FILE", needs: Tracker, usage: "`file` of the bearer token for the tracker; it may also be in CHOREO_TRACKER_TOKEN"},
		{flag: "namespace", env: "CHOREO_NAMESPACE", needs: Namespace, value: "choreo", usage: "first part of the `name` of all topics"},
		{flag: "brokers", env: "CHOREO_BROKERS", needs: Brokers, usage: "`addresses` of Kafka brokers, as host:port, joined by ','"},
		{flag: "sasl", env: "CHOREO_SASL", needs: Brokers, usage: "login at the brokers by this `mechanism`: plain, scram-sha-256 or scram-sha-512"},
		{flag: "sasl-user", env: "CHOREO_SASL_USER", needs: Brokers, usage: "user `name` at the brokers; the password is in CHOREO_SASL_PASSWORD or CHOREO_SASL_PASSWORD_FILE"},
		{flag: "tls", env: "CHOREO_TLS", needs: Brokers, isBool: true, usage: "encrypt connections to the brokers; implied by the other --tls flags"},
		{flag: "registry", env: "CHOREO_REGISTRY_URL", needs: Registry, usage: "`URL` of a Confluent-compatible schema registry, several joined by ','"},
		{flag: "registry-user", env: "CHOREO_REGISTRY_USER", needs: Registry, usage: "user `name` at the registry; the password is in CHOREO_REGISTRY_PASSWORD or …_FILE, a bearer token in CHOREO_REGISTRY_TOKEN or …_FILE"},
		{flag: "database", env: databaseDSN, needs: Database, usage: "`address` of a database: sqlite:FILE, or a postgres:// URL, whose password is in PGPASSWORD; a whole URL may be in CHOREO_DATABASE or CHOREO_DATABASE_FILE"},
		{flag: "database-schema", env: "CHOREO_DATABASE_SCHEMA", needs: Database, usage: "the `schema` of PostgreSQL that holds the tables (default the first of the search_path)"},
		{flag: "tls-ca", env: "CHOREO_TLS_CA", needs: both, usage: "PEM `file` of the authorities to trust, in place of the machine's"},
		{flag: "tls-cert", env: "CHOREO_TLS_CERT", needs: both, usage: "PEM `file` of the certificate to show"},
		{flag: "tls-key", env: "CHOREO_TLS_KEY", needs: both, usage: "PEM `file` of its private key"},
		{flag: "profile", env: "CHOREO_PROFILE", needs: all, usage: "`name` of the profile to take settings from, in the file that 'choreo help profiles' describes"},
		{flag: "timeout", env: "CHOREO_TIMEOUT", needs: both | Database, value: "30s", usage: "how long to wait for answers, as a Go `duration`; then the exit code is 5"},
	}
}

// LocalTracker is where a tracker listens unless it is told otherwise.
const LocalTracker = "http://127.0.0.1:7654"

// secrets are only in the environment, each also as …_FILE.
const (
	saslPassword     = "CHOREO_SASL_PASSWORD"
	registryPassword = "CHOREO_REGISTRY_PASSWORD"
	registryToken    = "CHOREO_REGISTRY_TOKEN"
	trackerToken     = "CHOREO_TRACKER_TOKEN"
	databaseDSN      = "CHOREO_DATABASE"
	configFile       = "CHOREO_CONFIG"
)

// Meaning says what an environment variable is for.
type Meaning struct{ Variable, Text string }

// Variables returns all variables that are read.
func Variables() []Meaning {
	var all []Meaning
	for _, s := range settings() {
		all = append(all, Meaning{s.env, "as --" + s.flag})
	}
	return append(all,
		Meaning{saslPassword, "password of --sasl-user, or its file in …_FILE"},
		Meaning{registryPassword, "password of --registry-user, or its file in …_FILE"},
		Meaning{registryToken, "bearer token for the registry, or its file in …_FILE"},
		Meaning{trackerToken, "bearer token for the tracker"},
		Meaning{databaseDSN + "_FILE", "the file that holds what CHOREO_DATABASE would"},
		Meaning{configFile, "the file of profiles"},
	)
}

// Flags adds the flags of a command that has these needs.
func Flags(flags *pflag.FlagSet, needs Needs) {
	for _, s := range settings() {
		if s.needs&needs == 0 {
			continue
		}
		if s.isBool {
			flags.Bool(s.flag, false, s.usage)
		} else {
			flags.String(s.flag, s.value, s.usage)
		}
	}
}

// Variable returns the environment variable that a flag of [Flags] stands for, "" for any
// other flag.
func Variable(flag string) string {
	for _, s := range settings() {
		if s.flag == flag {
			return s.env
		}
	}
	return ""
}

// Env is the environment.
type Env func(name string) string

// Settings are what [Resolve] found.
type Settings struct {
	Namespace string
	Brokers   []string
	Registry  []string // URLs
	Timeout   time.Duration
	// Tracker is the URL of the tracker to ask; empty where the topics are to be read.
	Tracker string

	// Database is the address of a database, which may hold a password; empty where none is named.
	Database, DatabaseSchema string

	trackerToken                                  string
	sasl, saslUser, saslPassword                  string
	registryUser, registryPassword, registryToken string
	tls                                           bool
	tlsCA, tlsCert, tlsKey                        string
}

// Resolve finds the value of every setting. The error names each that makes no sense.
func Resolve(flags *pflag.FlagSet, env Env) (*Settings, error) {
	profile, err := readProfile(text(flags, "profile"), env)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, s := range settings() {
		values[s.flag] = s.value
		f := flags.Lookup(s.flag)
		switch {
		case f != nil && f.Changed:
			values[s.flag] = f.Value.String()
		case env(s.env) != "":
			values[s.flag] = env(s.env)
		case profile[s.flag] != "":
			values[s.flag] = profile[s.flag]
		}
	}
	set := &Settings{
		Namespace: values["namespace"], Brokers: list(values["brokers"]), Registry: list(values["registry"]),
		sasl: values["sasl"], saslUser: values["sasl-user"], registryUser: values["registry-user"],
		tlsCA: values["tls-ca"], tlsCert: values["tls-cert"], tlsKey: values["tls-key"],
	}
	// Brokers that are named by a flag count before a tracker that is not.
	if set.Tracker = values["tracker"]; text(flags, "brokers") != "" && text(flags, "tracker") == "" {
		set.Tracker = ""
	} else if set.Tracker == "" && len(set.Brokers) == 0 {
		set.Tracker = LocalTracker
	}
	var faults []error
	if set.Timeout, err = time.ParseDuration(values["timeout"]); err != nil || set.Timeout <= 0 {
		faults = append(faults, fmt.Errorf("the timeout is %q: write a positive duration, such as 30s", values["timeout"]))
	}
	if v := values["tls"]; v != "" {
		if set.tls, err = strconv.ParseBool(v); err != nil {
			faults = append(faults, fmt.Errorf("CHOREO_TLS is %q: write true or false", v))
		}
	}
	set.tls = set.tls || set.tlsCA != "" || set.tlsCert != ""
	for _, s := range []struct {
		env  string
		into *string
	}{{saslPassword, &set.saslPassword}, {registryPassword, &set.registryPassword}, {registryToken, &set.registryToken}} {
		if *s.into, err = secret(s.env, env, profile); err != nil {
			faults = append(faults, err)
		}
	}
	if file := text(flags, "tracker-token-file"); file != "" {
		set.trackerToken, err = secretOf(trackerToken, file)
	} else {
		set.trackerToken, err = secret(trackerToken, env, profile)
	}
	faults = append(faults, err)
	if set.Database, err = database(flags, env, values["database"]); err != nil {
		faults = append(faults, err)
	}
	set.DatabaseSchema = values["database-schema"]
	return set, exit.With(exit.Usage, errors.Join(faults...))
}

// database returns the address of the database. One with a password must not be a flag, which
// every process of the machine could read.
func database(flags *pflag.FlagSet, env Env, value string) (string, error) {
	given := text(flags, "database")
	if u, err := url.Parse(given); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return "", errors.New("--database holds a password, which every process could read: set CHOREO_DATABASE, CHOREO_DATABASE_FILE or PGPASSWORD")
		}
	}
	if given != "" || env(databaseDSN+"_FILE") == "" {
		return value, nil
	}
	return secret(databaseDSN, env, map[string]string{})
}

// secret reads a secret from the environment, from the file that the environment names, or
// from the one that the profile does.
func secret(name string, env Env, profile map[string]string) (string, error) {
	file := env(name + "_FILE")
	switch value := env(name); {
	case value != "" && file != "":
		return "", fmt.Errorf("%s and %s_FILE are both set: unset one of them", name, name)
	case value != "":
		return value, nil
	case file == "":
		file = profile[profileKey(name)]
	}
	if file == "" {
		return "", nil
	}
	return secretOf(name, file)
}

func secretOf(name, file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the secret for %s: %w", name, err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// list splits a list at commas.
func list(s string) []string {
	var all []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// text returns a flag's value where there is one, else "".
func text(flags *pflag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil && f.Changed {
		return f.Value.String()
	}
	return ""
}
