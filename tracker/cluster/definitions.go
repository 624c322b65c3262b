package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/tracker/api"
)

// contract is what a service has published, with its documents parsed.
type contract struct {
	definition.Contract
	docs []*definition.Document // as Contract.Definitions; nil: it cannot be read
}

// contracts returns what services have published, by service.
func (c *Cluster) contracts(ctx context.Context) ([]contract, error) {
	return c.published.get(c.config.Now(), c.config.Fresh, func() ([]contract, error) {
		table, err := c.table(ctx, c.names.Definitions())
		if err != nil {
			return nil, fmt.Errorf("cluster: what services have published: %w", err)
		}
		var all []contract
		for key, rec := range table {
			if !definition.IsContractKey(key) {
				continue
			}
			of, err := definition.DecodeContract(rec.Value)
			if err != nil { // one that nobody understands does not hide the others
				c.config.Logger.Warn("A contract is passed over", zap.String("key", key), zap.Error(err))
				continue
			}
			one := contract{Contract: of, docs: make([]*definition.Document, len(of.Definitions))}
			for i := range of.Definitions {
				doc, err := definition.Parse(of.Definitions[i].String(), []byte(of.Definitions[i].Document))
				if err != nil {
					c.config.Logger.Warn("A definition is passed over", zap.String("service", of.Service), zap.Error(err))
					continue
				}
				one.docs[i] = doc
			}
			all = append(all, one)
		}
		slices.SortFunc(all, func(a, b contract) int { return strings.Compare(a.Service, b.Service) })
		return all, nil
	})
}

// Definitions returns what services have published, by saga and version. Where services differ,
// it is the definition of the first of them by name.
func (c *Cluster) Definitions(ctx context.Context) ([]api.Published, error) {
	contracts, err := c.contracts(ctx)
	if err != nil {
		return nil, err
	}
	var all []api.Published
	for i := range contracts {
		for n, d := range contracts[i].Definitions {
			doc := contracts[i].docs[n]
			if doc == nil {
				continue
			}
			at := slices.IndexFunc(all, func(p api.Published) bool { return p.Document.Definition.String() == d.String() })
			if at < 0 {
				at = len(all)
				all = append(all, api.Published{Document: doc, Fingerprint: d.Fingerprint})
			}
			all[at].By = append(all[at].By, api.Publisher{
				Service: contracts[i].Service, Build: contracts[i].Build, Fingerprint: d.Fingerprint, Starts: d.Starts,
			})
		}
	}
	slices.SortFunc(all, func(a, b api.Published) int {
		da, db := a.Document.Definition, b.Document.Definition
		if by := strings.Compare(da.Name(), db.Name()); by != 0 {
			return by
		}
		return da.Version() - db.Version()
	})
	return all, nil
}
