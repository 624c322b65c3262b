package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// Config configures [Start]. The zero value of a field is its default.
type Config struct {
	// DataDir is the folder that keeps topics and offsets; it is made if it does not
	// exist. Only one process may use it at a time. Default: everything is in memory.
	DataDir string
	// Port is where the broker listens, on 127.0.0.1 only. Default: any free one.
	Port int
	// Logger gets the broker's warnings and errors. Default: none.
	Logger *zap.Logger
}

// Broker is a running broker.
type Broker struct {
	cluster   *kfake.Cluster
	addresses []string
	unlock    func() error
	close     sync.Once
	closeErr  error
}

// ErrInUse is wrapped by Start's error when another process uses the folder.
var ErrInUse = errors.New("another process uses this folder: stop it first, or name another folder")

// minSession is the shortest session timeout that consumer groups may ask for. Kafka's
// default, 6 s, is longer than a test wants to wait for a dead member.
const minSession = 250 * time.Millisecond

// Start starts a broker. It is ready when Start returns.
func Start(config Config) (*Broker, error) {
	if config.Port < 0 || config.Port > 65535 {
		return nil, fmt.Errorf("embedded: Config.Port is %d: use 1 to 65535, or 0 for any free one", config.Port)
	}
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	options := []kfake.Opt{
		kfake.Ports(config.Port),
		kfake.ClusterID("choreo-embedded"),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(minSession),
		kfake.WithLogger(logger{config.Logger.Sugar()}),
	}
	b := &Broker{unlock: func() error { return nil }}
	if config.DataDir != "" {
		unlock, err := lockFolder(config.DataDir)
		if err != nil {
			return nil, fmt.Errorf("embedded: Config.DataDir %s: %w", config.DataDir, err)
		}
		b.unlock = unlock
		options = append(options, kfake.DataDir(config.DataDir))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: starting the broker: %w", err), b.unlock())
	}
	b.cluster = cluster
	b.addresses = cluster.ListenAddrs()
	return b, nil
}

// Addresses returns where the broker listens, as host:port.
func (b *Broker) Addresses() []string { return b.addresses }

// Close stops the broker and writes what is left to write. It may be called again.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.cluster.Close()
		b.closeErr = b.unlock()
	})
	return b.closeErr
}

// lockFolder makes the folder and takes its lock, which ends at the latest with the
// process.
func lockFolder(folder string) (unlock func() error, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(folder, "lock"))
}

// logger passes the broker's warnings and errors on.
type logger struct{ zap *zap.SugaredLogger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.zap.Errorf("embedded broker: "+format, args...)
	case kfake.LogLevelWarn:
		l.zap.Warnf("embedded broker: "+format, args...)
	}
}
