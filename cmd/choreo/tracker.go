package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/models"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
	"github.com/choreo-go/choreo/tracker/page"
)

// trackerNoun is "choreo tracker".
func (c *cli) trackerNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "tracker",
		Short: "run a tracker: the page and the API by which sagas are seen",
		Long: `Runs a tracker, which folds the logs of sagas into what people ask for. It
decides nothing: stop it, and no saga notices.`,
		Example: `  choreo tracker serve --brokers localhost:9092`,
	}, c.trackerServe(), c.trackerToken())
}

// serving are the flags of "choreo tracker serve".
type serving struct {
	listen, metricsListen, basePath    string
	model                              string
	shard, peerListen                  string
	peers                              []string
	tokens, payloads                   string
	oidcIssuer, oidcAudience, oidcRole string
	oidcName                           string
	hosts, origins                     []string
	cert, key                          string
	keepEnded                          time.Duration
	maxEnded                           int
	logJSON, quiet                     bool
}

func (s *serving) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&s.listen, "listen", "l", api.DefaultAddress, "`address` to listen at; one that others can reach needs --tokens or --oidc-issuer")
	flags.StringVar(&s.basePath, "base-path", "", "`path` before all paths, such as /choreo behind a proxy")
	flags.StringVar(&s.metricsListen, "metrics-listen", "", "`address` of /livez, /readyz and /metrics (default that of --listen)")
	flags.StringVar(&s.model, "model", "memory", "`where` snapshots are kept: memory, sqlite:FILE, or postgres and redis whose URL is in CHOREO_MODEL or CHOREO_MODEL_FILE")
	flags.StringVar(&s.shard, "shard", "", "which `part` of the partitions this tracker follows, as 1/3, 2/3 or 3/3 (default all)")
	flags.StringVar(&s.peerListen, "peer-listen", "", "`address` at which the trackers of other parts ask this one for its own")
	flags.StringSliceVar(&s.peers, "peers", nil, "`URLs` of the --peer-listen of the trackers of the other parts, joined by ','")
	flags.StringVar(&s.tokens, "tokens", "", "`file` of who may come in, a line each, as 'choreo tracker token' writes them; it is read again when it changes, and at SIGHUP")
	choiceFlag(cmd, &s.payloads, "payloads", "", string(api.RoleAdmin), roles(), "the least role that sees inputs and outputs")
	flags.StringVar(&s.oidcIssuer, "oidc-issuer", "", "`URL` of an OpenID Connect provider whose tokens are taken")
	flags.StringVar(&s.oidcAudience, "oidc-audience", "", "for `whom` its tokens are")
	flags.StringVar(&s.oidcRole, "oidc-role-claim", "roles", "the `claim` that names roles: viewer, operator, admin")
	flags.StringVar(&s.oidcName, "oidc-name-claim", "sub", "the `claim` that names who it is, for the log of actions")
	flags.StringSliceVar(&s.hosts, "host", nil, "`names` that it answers to, joined by ',' (default any with authentication, else those of this machine)")
	flags.StringSliceVar(&s.origins, "origin", nil, "`origins` of other sites whose pages may act, such as https://ops.example.com")
	flags.StringVar(&s.cert, "listen-cert", "", "PEM `file` of the certificate to serve HTTPS with")
	flags.StringVar(&s.key, "listen-key", "", "PEM `file` of its private key")
	flags.DurationVar(&s.keepEnded, "keep-ended", 7*24*time.Hour, "how long sagas that have ended are kept, as a Go `duration`; negative is without end")
	flags.IntVar(&s.maxEnded, "max-ended", 1_000_000, "keep at most this `number` of sagas that have ended; negative is without bound")
	flags.BoolVar(&s.logJSON, "log-json", false, "write the log as lines of JSON")
	flags.BoolVar(&s.quiet, "quiet", false, "log only what goes wrong, and actions")
	connect.Flags(flags, connect.Brokers|connect.Namespace|connect.Registry)
}

func roles() []string {
	return []string{string(api.RoleViewer), string(api.RoleOperator), string(api.RoleAdmin)}
}

// trackerServe is "choreo tracker serve".
func (c *cli) trackerServe() *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "serve the page and the API",
		Long: `Follows the logs of all sagas that services have published, writes what they add
up to into the tracker topics, and serves it as a page and as an API. It listens
on this machine alone, unless it is told who may come in.

No database is needed: it restarts from the tracker topics. Several trackers may
share the work by --shard; with --peers an answer is of all of them, and says
which are away. Without, those with a model of their own answer for their part.`,
		Example: `  choreo tracker serve --brokers localhost:9092
  choreo tracker serve --listen :7654 --tokens tokens.txt --model sqlite:t.db
  CHOREO_MODEL_FILE=/run/secrets/dsn choreo tracker serve --model postgres`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := connect.Resolve(cmd.Flags(), c.env)
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), settings, &s)
		},
	}
	s.flags(cmd)
	return cmd
}

// serve runs a tracker and its servers until ctx ends.
func (c *cli) serve(ctx context.Context, settings *connect.Settings, s *serving) (err error) {
	names, err := settings.Names()
	if err != nil {
		return err
	}
	shard, err := shardOf(s.shard)
	if err != nil {
		return err
	}
	logger := c.logger(s)
	config, err := s.config(ctx, logger)
	if err != nil {
		return err
	}
	log, err := settings.Log()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	model, err := models.Open(ctx, s.model, s.maxEnded, c.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	follow, err := tracker.New(log, model, &tracker.Config{
		Namespace: settings.Namespace, Shard: shard, KeepEnded: s.keepEnded, MaxEnded: s.maxEnded, Logger: logger.Named("tracker"),
	})
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	registry, err := settings.HTTPRegistry()
	if err != nil {
		return err
	}
	whole := cluster.New(log, names, &cluster.Config{Registry: registry, Logger: logger.Named("cluster")})
	joined, peers, err := withPeers(follow, settings, s, logger.Named("peers"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peers.Close()) }()
	source := whole.Source(follow)
	if joined != nil {
		source.Sagas = joined
	}
	source.Ready = func(context.Context) error { return follow.CaughtUp() }
	server, err := api.New(source, config)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	servers := []*api.Server{server}
	if s.peerListen != "" {
		own := *config
		own.Address, own.MetricsAddress, own.Page, own.BasePath = s.peerListen, "", nil, ""
		mine := whole.Source(follow)
		mine.Ready = source.Ready
		part, err := api.New(mine, &own)
		if err != nil {
			return exit.With(exit.Usage, fmt.Errorf("--peer-listen: %w", err))
		}
		servers = append(servers, part)
	}
	c.say("The tracker listens at %s. Stop it by ctrl-c: no saga notices.", address(s))
	return runTracker(ctx, follow, joined, servers, config)
}

// runTracker runs all that a tracker is made of until ctx ends. joined may be nil.
func runTracker(ctx context.Context, follow *tracker.Tracker, joined *tracker.Joined, servers []*api.Server, config *api.Config) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return follow.Run(ctx) })
	if joined != nil {
		group.Go(func() error { return joined.Run(ctx) })
	}
	for _, server := range servers {
		group.Go(func() error { return server.ListenAndServe(ctx) })
	}
	if config.Tokens != nil {
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGHUP)
		defer signal.Stop(again)
		group.Go(func() error { return config.Tokens.Follow(ctx, again, config.Log) })
	}
	return group.Wait()
}

// address is where the page is, for people.
func address(s *serving) string {
	scheme, host := "http", s.listen
	if s.cert != "" {
		scheme = "https"
	}
	if strings.HasPrefix(host, ":") {
		host = "localhost" + host
	}
	return scheme + "://" + host + strings.TrimRight(s.basePath, "/") + "/"
}

// config is that of the server. The error names every fault.
func (s *serving) config(ctx context.Context, logger *zap.Logger) (*api.Config, error) {
	config := &api.Config{
		Address: s.listen, MetricsAddress: s.metricsListen, BasePath: strings.TrimRight(s.basePath, "/"), Payloads: api.Role(s.payloads),
		Hosts: s.hosts, Origins: s.origins, Log: logger.Named("api"),
	}
	config.Page = page.Handler(config.BasePath)
	var faults []error
	if s.tokens != "" {
		tokens, err := api.LoadTokens(s.tokens)
		if err != nil {
			faults = append(faults, fmt.Errorf("--tokens: %w", err))
		}
		config.Tokens = tokens
	}
	if s.oidcIssuer != "" {
		provider, err := api.NewOIDC(ctx, api.OIDCConfig{
			Issuer: s.oidcIssuer, Audience: s.oidcAudience, RoleClaim: s.oidcRole, NameClaim: s.oidcName,
			Client: &http.Client{Timeout: 10 * time.Second},
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("--oidc-issuer: %w", err))
		}
		config.OIDC = provider
	}
	switch {
	case s.cert == "" && s.key == "":
	case s.cert == "" || s.key == "":
		faults = append(faults, errors.New("--listen-cert and --listen-key belong together: name both"))
	default:
		cert, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			faults = append(faults, fmt.Errorf("--listen-cert and --listen-key: %w", err))
		}
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	return config, exit.With(exit.Usage, errors.Join(faults...))
}

// shardOf reads "2/3": people count parts from 1.
func shardOf(text string) (tracker.Shard, error) {
	if text == "" {
		return tracker.Shard{}, nil
	}
	part, of, ok := strings.Cut(text, "/")
	i, err := strconv.Atoi(part)
	n, err2 := strconv.Atoi(of)
	if !ok || err != nil || err2 != nil || i < 1 || n < i {
		return tracker.Shard{}, exit.Usagef("--shard %q: write it as 1/3, 2/3 or 3/3", text)
	}
	return tracker.Shard{Index: i - 1, Count: n}, nil
}

// logger writes what a tracker tells to standard error.
func (c *cli) logger(s *serving) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewConsoleEncoder(encoding)
	if s.logJSON {
		encoder = zapcore.NewJSONEncoder(encoding)
	}
	level := zap.InfoLevel
	if s.quiet {
		level = zap.WarnLevel
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(c.err)), level))
}

// trackerToken is "choreo tracker token".
func (c *cli) trackerToken() *cobra.Command {
	var role, file string
	cmd := &cobra.Command{
		Use:   "token NAME [flags]",
		Short: "make a token for somebody who may come in",
		Long: `Makes a token for somebody. It is written to standard output, once and never
again; the line that goes into the file of --tokens is on standard error, or is
appended to it by --tokens, and holds no more than a hash of it.`,
		Example: `  choreo tracker token alice --role operator --tokens tokens.txt > alice.token`,
		Args:    between(1, 1, "one NAME, which the log of actions shows"), ValidArgsFunction: completeNothing,
		RunE: func(_ *cobra.Command, args []string) error {
			token, line, err := api.NewToken(args[0], api.Role(role))
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			if file == "" {
				c.say("Add this line to the file of --tokens: %s", strings.TrimSpace(line))
			} else if err := appendLine(file, line); err != nil {
				return err
			}
			return c.write("", []byte(token+"\n"))
		},
	}
	choiceFlag(cmd, &role, "role", "", string(api.RoleViewer), roles(), "what they may do: look, act too, or see payloads as well")
	cmd.Flags().StringVar(&file, "tokens", "", "append the line to this `file`")
	return cmd
}

func appendLine(name, line string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("--tokens: %w", err)
	}
	if _, err = file.WriteString(strings.TrimSpace(line) + "\n"); err != nil {
		err = fmt.Errorf("--tokens: %w", err)
	}
	return errors.Join(err, file.Close())
}

// closers are sources that are closed together.
type closers []sagas.Source

func (all closers) Close() error {
	var errs []error
	for _, one := range all {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
