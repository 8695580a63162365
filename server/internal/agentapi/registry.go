package agentapi

import (
	"context"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// remember makes sess the one stream of its agent and ends the one before: a
// connection that died unseen must not hold up its agent. Two machines with one
// key end each other's streams, and fork.
func (s *Server) remember(sess *session) {
	s.mu.Lock()
	before := s.sessions[sess.caller.agent.ID]
	s.sessions[sess.caller.agent.ID] = sess
	draining := s.draining
	s.mu.Unlock()
	if before != nil {
		before.end(assay.Errorf(assay.Unavailable, "%w", errSuperseded))
	} else {
		s.metrics.streams.Inc()
	}
	if draining {
		sess.startDrain()
	}
}

func (s *Server) forget(sess *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[sess.caller.agent.ID] == sess {
		delete(s.sessions, sess.caller.agent.ID)
		s.metrics.streams.Dec()
	}
}

func (s *Server) open() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		open = append(open, sess)
	}
	return open
}

// watch ends the streams of agents that are revoked, or whose certificates have
// run out, while they say nothing; when they speak the writer's lock tells. It
// also notes who is connected.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.RevocationPoll)
	defer ticker.Stop()
	var noted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.endRevoked(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "looking for revoked agents failed", "error", assay.Cause(err).Error())
		}
		if now := s.cfg.Now(); now.Sub(noted) >= time.Minute {
			noted = now
			if err := s.note(ctx, now); err != nil && ctx.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "noting connected agents failed", "error", assay.Cause(err).Error())
			}
		}
	}
}

// lookAtOnce bounds the agents in one query.
const lookAtOnce = 2000

func (s *Server) endRevoked(ctx context.Context) error {
	open := s.open()
	for len(open) > 0 {
		part := open[:min(lookAtOnce, len(open))]
		open = open[len(part):]
		ids := make([]assay.AgentID, len(part))
		sessions := make(map[assay.AgentID]*session, len(part))
		for i, sess := range part {
			ids[i] = sess.caller.agent.ID
			sessions[ids[i]] = sess
			if err := sess.authentic(0); err != nil {
				sess.end(err)
			}
		}
		revoked, err := s.cfg.Store.RevokedAmong(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range revoked {
			s.metrics.revoked.Inc()
			sessions[id].end(assay.Errorf(assay.Denied, "the agent is revoked"))
		}
	}
	return nil
}

func (s *Server) note(ctx context.Context, now time.Time) error {
	open := s.open()
	for len(open) > 0 {
		part := open[:min(lookAtOnce, len(open))]
		open = open[len(part):]
		seen := make([]assay.Sighting, len(part))
		for i, sess := range part {
			seen[i] = assay.Sighting{Agent: sess.caller.agent.ID, At: now, Address: sess.caller.address.String(), Version: sess.version}
		}
		if err := s.cfg.Store.SeeAgents(ctx, seen); err != nil {
			return err
		}
	}
	return nil
}
