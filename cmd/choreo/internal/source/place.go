package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

// Bounds of what is read: far above what people write, far below what hurts.
const (
	maxFile  = 16 << 20
	maxFiles = 20_000
)

var errTooLarge = errors.New("it is larger than 16 MiB, which no schema or definition is")

// Place is a file or a folder that an argument names.
type Place struct {
	// Arg is the argument.
	Arg string
	// FS holds it under Path, and also what it imports.
	FS   fs.FS
	Path string
	// Dir says that it is a folder.
	Dir bool
	// OfGit says that it is of a git revision.
	OfGit bool

	avro map[string]string // see avroFiles
}

// Find finds the file or folder that an argument names: a path, or REV:PATH for one as it was in
// a git revision. As git has it, PATH begins at the root of the repository, and with "./" at
// the current folder. What exists as a path counts before a revision.
func Find(ctx context.Context, arg string) (*Place, error) {
	place, err := onDisk(arg)
	if !errors.Is(err, fs.ErrNotExist) {
		return place, err
	}
	rev, name, isRev := strings.Cut(arg, ":")
	switch {
	case !isRev || filepath.VolumeName(arg) != "":
		return nil, exit.NotFoundf("there is no file or folder %q: check the path, or write REV:PATH for one of a git revision", arg)
	case rev == "":
		return nil, exit.Usagef("%q names no revision: write REV:PATH, such as HEAD:%s", arg, name)
	}
	return inRevision(ctx, arg, rev, name)
}

func onDisk(arg string) (*Place, error) {
	if arg == "" {
		return nil, exit.Usagef("an argument is empty: name a file or a folder")
	}
	stat, err := os.Stat(arg)
	if err != nil {
		return nil, err
	}
	if !stat.IsDir() && !stat.Mode().IsRegular() {
		return nil, exit.Usagef("%s is neither a file nor a folder", arg)
	}
	full, err := filepath.Abs(arg)
	if err != nil {
		return nil, err
	}
	root := filepath.VolumeName(full) + string(filepath.Separator)
	name, err := filepath.Rel(root, full)
	if err != nil {
		return nil, err
	}
	return &Place{Arg: arg, FS: os.DirFS(root), Path: filepath.ToSlash(name), Dir: stat.IsDir()}, nil
}

func inRevision(ctx context.Context, arg, rev, name string) (*Place, error) {
	files, prefix, err := openRevision(ctx, rev)
	if err != nil {
		return nil, fmt.Errorf("there is no file or folder %q, and for git: %w", arg, err)
	}
	if name == "." || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") {
		name = prefix + name
	}
	place := &Place{Arg: arg, FS: files, Path: path.Clean(strings.TrimPrefix(name, "/")), OfGit: true}
	stat, err := fs.Stat(files, place.Path)
	if err != nil {
		hint := ""
		if _, err := fs.Stat(files, path.Join(prefix, name)); err == nil && prefix != "" {
			hint = fmt.Sprintf(": a path begins at the root of the repository: write %s:./%s", rev, name)
		}
		return nil, exit.NotFoundf("revision %s has no %s%s", rev, place.Path, hint)
	}
	place.Dir = stat.IsDir()
	return place, nil
}

// Under returns the files below a folder that end in one of the extensions, as paths from the
// folder, sorted. Hidden folders are left out. For a file it returns "." alone.
func (p *Place) Under(extensions ...string) ([]string, error) {
	if !p.Dir {
		return []string{"."}, nil
	}
	var found []string
	err := fs.WalkDir(p.FS, p.Path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != p.Path && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !slices.Contains(extensions, path.Ext(name)):
			return nil
		case len(found) == maxFiles:
			return fmt.Errorf("more than %d files: name a smaller folder", maxFiles)
		}
		inside := strings.TrimPrefix(name, p.Path+"/")
		found = append(found, inside)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking through %s: %w", p.Arg, err)
	}
	slices.Sort(found)
	return found, nil
}

// Name returns how a file below the place is called for people: "folder/file", "REV:folder/file".
func (p *Place) Name(inside string) string {
	if inside == "." {
		return p.Arg
	}
	if p.OfGit {
		return strings.TrimSuffix(p.Arg, "/") + "/" + inside
	}
	return filepath.Join(p.Arg, filepath.FromSlash(inside))
}

// Read reads a file below the place, "." for the place itself.
func (p *Place) Read(inside string) ([]byte, error) { return read(p.FS, path.Join(p.Path, inside)) }

func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errTooLarge}
	}
	return data, nil
}
