package api

import (
	"context"
	"io"
	"net"
	"time"

	"go.uber.org/zap"
)

// audit verifies the whole of the ledger's history.
func (s *Server) audit(c *Call) (int, any, error) {
	rep, err := s.opt.Engine.History().Verify(c)
	return 200, rep, err
}

// exportAudit streams the ledger's history. What fails on the way breaks the
// body off, so that no part of it passes for the whole.
func (s *Server) exportAudit(c *Call) (int, any, error) {
	format, kind := c.Query("format"), "application/json"
	switch format {
	case "", "json":
		format = "json"
	case "csv":
		kind = "text/csv; charset=utf-8"
	default:
		return 0, nil, Invalid("format: want json or csv")
	}
	body, w := io.Pipe()
	go func() {
		err := s.opt.Engine.History().Export(context.Background(), w, format)
		if err != nil {
			s.opt.Log.Error("audit export ended early", zap.Error(err))
		}
		_ = w.CloseWithError(err) // which never fails
	}()
	c.SetContentType(kind)
	c.SetBodyStream(lasting{body, c.Conn()}, -1) // closes body, and with it the export, if the client goes
	return 200, nil, nil
}

// lasting is a body that may take as long as it likes, but each piece of it only
// writeLimit: a ledger of years is longer than what goes out in one.
type lasting struct {
	io.ReadCloser
	conn net.Conn
}

// Read implements io.Reader. What it returns is written before it is called again.
func (l lasting) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if derr := l.conn.SetWriteDeadline(time.Now().Add(writeLimit)); derr != nil && err == nil {
		err = derr
	}
	return n, err
}
