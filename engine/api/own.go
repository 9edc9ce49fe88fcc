package api

import (
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// own are the routes that belong to no dialect.
func (s *Server) own() []Route {
	return []Route{
		Handle("GET", "/about", Anyone, Problem, func(*Call) (int, any, error) { return 200, s.opt.About, nil }),
		Handle("POST", "/freeze", Approver|Admin, Problem, func(c *Call) (int, any, error) { return s.freeze(c, true) }),
		Handle("POST", "/unfreeze", Admin, Problem, func(c *Call) (int, any, error) { return s.freeze(c, false) }),
		Handle("GET", "/audit", Admin, Problem, s.audit),
		Handle("GET", "/audit/export", Admin, Problem, s.exportAudit),
		Handle("GET", "/requests/{id}", Admin|Approver, Problem, s.request),
		Handle("POST", "/requests/{id}/settle", Admin, Problem, func(c *Call) (int, any, error) { return s.testify(c, true) }),
		Handle("POST", "/requests/{id}/fail", Admin, Problem, func(c *Call) (int, any, error) { return s.testify(c, false) }),
		Handle("POST", "/providers/{name}/webhook", Anyone, Problem, s.hear),
	}
}

func (s *Server) freeze(c *Call, on bool) (int, any, error) {
	var body struct{ Agent, Rail string }
	if len(c.PostBody()) > 0 {
		if err := c.Decode(&body); err != nil {
			return 0, nil, err
		}
	}
	if err := s.opt.Engine.SetFrozen(c, c.Caller.Actor, engine.Freeze{Agent: body.Agent, Rail: body.Rail}, on); err != nil {
		return 0, nil, err
	}
	return 200, map[string]any{"frozen": on, "agent": body.Agent, "rail": body.Rail, "at": Stamp(time.Now())}, nil
}

// request shows everything that the ledger holds about one request.
func (s *Server) request(c *Call) (int, any, error) {
	r, err := s.opt.Engine.Request(c, spend.ID(c.Param("id")))
	if err != nil {
		return 0, nil, err
	}
	return 200, r, nil
}

func (s *Server) testify(c *Call, happened bool) (int, any, error) {
	var body struct{ Note string }
	if len(c.PostBody()) > 0 {
		if err := c.Decode(&body); err != nil {
			return 0, nil, err
		}
	}
	r, err := s.opt.Engine.Testify(c, spend.ID(c.Param("id")), c.Caller.Actor, happened, body.Note)
	if err != nil {
		return 0, nil, err
	}
	return 200, r, nil
}
