package godump

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

// corePath is the package of the types that are looked for.
const corePath = "github.com/choreo-go/choreo/choreo"

// found is a package with definitions.
type found struct {
	path, dir string // of the package
	inMain    bool   // it belongs to the module that the command works in
	variables []string
}

// find returns the package that a pattern names, with its variables that are definitions.
func find(ctx context.Context, pattern string) (*found, error) {
	config := &packages.Config{
		Context: ctx,
		Mode:    packages.NeedName | packages.NeedFiles | packages.NeedTypes | packages.NeedImports | packages.NeedModule,
	}
	all, err := packages.Load(config, pattern)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for package %s: %w", pattern, err)
	}
	switch {
	case len(all) == 0:
		return nil, exit.NotFoundf("no package is called %s: write a path such as ./contract", pattern)
	case len(all) > 1:
		return nil, exit.Usagef("%s is %d packages: name one", pattern, len(all))
	}
	pkg := all[0]
	if len(pkg.Errors) > 0 {
		var faults []error
		for _, fault := range pkg.Errors {
			faults = append(faults, errors.New(strings.TrimPrefix(strings.TrimSpace(fault.Error()), "-: ")))
		}
		return nil, fmt.Errorf("package %s cannot be used: %w", pattern, errors.Join(faults...))
	}
	if pkg.Name == "main" {
		return nil, exit.Usagef("package %s is a program, which nothing can import: move the definitions to a package of their own", pkg.PkgPath)
	}
	if pkg.Types == nil || len(pkg.GoFiles) == 0 {
		return nil, fmt.Errorf("package %s holds no Go code that can be read: run 'go build %s' to see why", pkg.PkgPath, pattern)
	}
	f := &found{path: pkg.PkgPath, dir: filepath.Dir(pkg.GoFiles[0]), inMain: pkg.Module != nil && pkg.Module.Main}
	var hidden []string
	for _, name := range pkg.Types.Scope().Names() {
		variable, ok := pkg.Types.Scope().Lookup(name).(*types.Var)
		switch {
		case !ok || !isDefinition(variable.Type()):
		case token.IsExported(name):
			f.variables = append(f.variables, name)
		default:
			hidden = append(hidden, name)
		}
	}
	slices.Sort(f.variables)
	switch {
	case len(f.variables) > 0:
		return f, nil
	case len(hidden) > 0:
		return nil, exit.NotFoundf("package %s has its definitions in variables that it does not export (%s): begin their names with a capital letter", f.path, strings.Join(hidden, ", "))
	}
	return nil, exit.NotFoundf("package %s has no variable of type *choreo.Saga or *choreo.Definition", f.path)
}

// isDefinition reports whether a type is *choreo.Saga[…] or *choreo.Definition.
func isDefinition(t types.Type) bool {
	pointer, ok := types.Unalias(t).(*types.Pointer)
	if !ok {
		return false
	}
	named, ok := types.Unalias(pointer.Elem()).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != corePath {
		return false
	}
	return named.Obj().Name() == "Saga" || named.Obj().Name() == "Definition"
}
