package embedded

import (
	"errors"

	"golang.org/x/sys/windows"
)

// lockFile takes the lock of a file without waiting, and returns what gives it up: the
// file is opened and shared with nobody. The handle is a bare one: an os.File would give
// up the lock when a program lets go of its Broker without closing it, though the broker
// runs on.
func lockFile(path string) (unlock func() error, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	return func() error { return windows.CloseHandle(handle) }, nil
}
