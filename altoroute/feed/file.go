// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"io"
	"os"

	"github.com/altoroute/caddy-alto/altoroute"
	"github.com/altoroute/caddy-alto/altoroute/alto"
	"github.com/altoroute/caddy-alto/internal/localfile"
)

// fileOrigin serves documents from local files.
type fileOrigin struct{ docs []*document }

func newFileOrigin(cfg *Config) *fileOrigin {
	o := new(fileOrigin)
	for i, path := range cfg.Files {
		mediaType := alto.MediaTypeCostMap
		if i == 0 {
			mediaType = alto.MediaTypeNetworkMap
		}
		o.docs = append(o.docs, &document{cfg: cfg, name: path, mediaType: mediaType, open: &fileOpener{path: path}})
	}
	return o
}

func (o *fileOrigin) name() string { return o.docs[0].name }

func (o *fileOrigin) networkMap(context.Context) (*document, error) { return o.docs[0], nil }

func (o *fileOrigin) costMaps(*altoroute.NetworkMap, []string) ([]*document, error) {
	return o.docs[1:], nil
}

func (o *fileOrigin) all() []*document { return o.docs }

func (o *fileOrigin) remarks() (skipped, offered []string) { return nil, nil }

// fileOpener opens a local file. Whether it has changed is told by a stat each
// time it is looked at.
type fileOpener struct {
	path string
	file *os.File
	now  localfile.Stamp // of the file just opened
	kept localfile.Stamp // of the content kept
}

func (o *fileOpener) open(_ context.Context, conditional bool) (io.ReadCloser, error) {
	info, err := localfile.Stat(o.path)
	if err != nil {
		return nil, err
	}
	if conditional && o.kept.Same(info) {
		return nil, errUnchanged
	}
	if o.file, o.now, err = localfile.Open(o.path); err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{gunzip(o.file), o.file}, nil
}

// keep is called with the file still open. What is wrong with a file stays
// wrong until it is written anew.
func (o *fileOpener) keep(bool) error {
	if err := o.now.Check(o.file); err != nil {
		return err
	}
	o.kept = o.now
	return nil
}
