package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

// revision is the files of a git revision as a file system. Its root is that of the
// repository.
type revision struct {
	ctx   context.Context
	files map[string]blob
	dirs  map[string][]string // names of the entries, sorted
}

type blob struct {
	object string
	size   int64
}

// openRevision lists the files of a revision. It returns the path from the root of the
// repository to the current folder besides: "" or one that ends in "/".
func openRevision(ctx context.Context, rev string) (*revision, string, error) {
	prefix, err := git(ctx, "rev-parse", "--show-prefix")
	if err != nil && strings.Contains(err.Error(), "not a git repository") {
		return nil, "", exit.NotFoundf("the current folder is in no git repository")
	}
	if err != nil {
		return nil, "", err
	}
	commit, err := git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			return nil, "", exit.NotFoundf("it knows no revision %q: see 'git branch --all' and 'git tag'; a shallow clone needs 'git fetch --unshallow'", rev)
		}
		return nil, "", err
	}
	listing, err := git(ctx, "ls-tree", "-r", "-l", "-z", "--full-tree", strings.TrimSpace(string(commit)))
	if err != nil {
		return nil, "", err
	}
	r := &revision{ctx: ctx, files: make(map[string]blob), dirs: map[string][]string{".": nil}}
	for entry := range strings.SplitSeq(string(listing), "\x00") {
		head, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(head) // mode, type, object, size
		if !ok || len(fields) != 4 || fields[1] != "blob" || fields[0] == "120000" || !fs.ValidPath(name) {
			continue // a submodule, or a link, which may lead anywhere
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("git ls-tree says that %s is %q bytes long", name, fields[3])
		}
		r.add(name, blob{object: fields[2], size: size})
	}
	for _, names := range r.dirs {
		slices.Sort(names)
	}
	return r, strings.TrimRight(string(prefix), "\r\n"), nil
}

// add notes a file and the folders above it.
func (r *revision) add(name string, b blob) {
	r.files[name] = b
	for child := name; child != "."; {
		dir := path.Dir(child)
		_, known := r.dirs[dir]
		r.dirs[dir] = append(r.dirs[dir], path.Base(child))
		if known {
			return
		}
		child = dir
	}
}

// Open implements [fs.FS].
func (r *revision) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if names, ok := r.dirs[name]; ok {
		entries := make([]fs.DirEntry, len(names))
		for i, child := range names {
			full := path.Join(name, child)
			file, isFile := r.files[full]
			entries[i] = fs.FileInfoToDirEntry(info{name: child, size: file.size, dir: !isFile})
		}
		return &openDir{info: info{name: path.Base(name), dir: true}, entries: entries}, nil
	}
	file, ok := r.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if file.size > maxFile {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errTooLarge}
	}
	data, err := git(r.ctx, "cat-file", "blob", file.object)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{info: info{name: path.Base(name), size: file.size}, Reader: bytes.NewReader(data)}, nil
}

// git runs git in the current folder and returns what it printed.
func git(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	data, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is needed to read a revision, and is not installed: install it, or name files")
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return data, nil
}

// info is what is known of a file.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	info info
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info    info
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("it is a folder")}
}

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := d.entries
		d.entries = nil
		return all, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	some := d.entries[:n]
	d.entries = d.entries[n:]
	return some, nil
}
