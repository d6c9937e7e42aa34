package famfs

// What the caller's logger is told, and when. A logger is the caller's code: it may panic, wait, or
// call the FS that it is told about. So nothing else in the package calls it. Messages are written
// into a journal, and the logger is told when nothing is locked, in the goroutine that called the
// package.

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessages limits the memory of messages that are still to be told: as many as there can be
// problems, and some more.
const maxMessages = maxProblems + 1000

// journal keeps messages until the logger is told. All methods may be called concurrently; tell and
// tellOr only when nothing is locked.
type journal struct {
	to      *slog.Logger // nil if there is no logger
	waiting atomic.Bool  // there are messages

	mu       sync.Mutex
	messages []message // in the order in which they were added
	leftOut  int       // number of messages that did not fit
	telling  bool      // a goroutine is in tell
}

type message struct {
	record slog.Record
	with   func(slog.Handler) slog.Handler // adds attributes and groups; nil if there are none
}

func newJournal(to *slog.Logger) *journal { return &journal{to: to} }

// log returns a logger that writes into the journal.
func (j *journal) log() *slog.Logger {
	if j.to == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(&journalHandler{journal: j})
}

func (j *journal) add(m message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.messages) >= maxMessages {
		j.leftOut++
		return
	}
	j.messages = append(j.messages, m)
	j.waiting.Store(true)
}

// tell passes all messages to the caller's logger, one at a time. If another goroutine is in tell,
// that one passes them; so tell does not call itself if a logger calls the package. If a logger
// panics, the next tell passes the remaining messages.
func (j *journal) tell() {
	if !j.waiting.Load() || !j.begin() {
		return
	}
	told := false
	defer func() {
		if !told { // the logger panicked or ended the goroutine
			j.end()
		}
	}()
	for {
		m, more := j.next()
		if !more {
			told = true
			return
		}
		m.give(j.to.Handler())
	}
}

// tellOr is tell, but calls undo if the logger panics or ends the goroutine.
func (j *journal) tellOr(undo func()) {
	told := false
	defer func() {
		if !told {
			undo()
		}
	}()
	j.tell()
	told = true
}

// begin reports whether the caller should pass the messages.
func (j *journal) begin() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.telling {
		return false
	}
	j.telling = true
	return true
}

func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.telling = false
}

// next removes and returns the first message. If there is none, telling has ended.
func (j *journal) next() (m message, more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case len(j.messages) > 0:
		m = j.messages[0]
		j.messages[0] = message{}
		j.messages = j.messages[1:]
	case j.leftOut > 0:
		m.record = slog.NewRecord(time.Now(), slog.LevelWarn, "messages left out", 0)
		m.record.Add("count", j.leftOut)
		j.leftOut = 0
	default:
		j.messages, j.telling = nil, false
		j.waiting.Store(false)
		return m, false
	}
	return m, true
}

func (m *message) give(h slog.Handler) {
	ctx := context.Background()
	if m.with != nil {
		h = m.with(h)
	}
	if h.Enabled(ctx, m.record.Level) {
		// As with any logger, an error of logging is ignored.
		_ = h.Handle(ctx, m.record)
	}
}

// journalHandler writes records into a journal. Its attributes and groups are applied when the
// records are told.
type journalHandler struct {
	journal *journal
	with    func(slog.Handler) slog.Handler
}

func (h *journalHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	h.journal.add(message{r.Clone(), h.with})
	return nil
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.then(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	return h.then(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *journalHandler) then(last func(slog.Handler) slog.Handler) slog.Handler {
	with := last
	if before := h.with; before != nil {
		with = func(to slog.Handler) slog.Handler { return last(before(to)) }
	}
	return &journalHandler{h.journal, with}
}
