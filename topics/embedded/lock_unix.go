//go:build unix

package embedded

import (
	"errors"
	"syscall"
)

// lockFile takes the lock of a file without waiting, and returns what gives it up. The
// descriptor is a bare one: an os.File would give up the lock when a program lets go of
// its Broker without closing it, though the broker runs on.
func lockFile(path string) (unlock func() error, err error) {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return func() error { return syscall.Close(fd) }, nil
}
