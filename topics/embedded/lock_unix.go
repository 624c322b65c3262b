//go:build unix

package embedded

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the file's lock for as long as it is open, without waiting.
func lockFile(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
