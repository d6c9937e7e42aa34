package famfs

// What is told to the caller's logger, and when. A logger is the caller's code: it may
// panic, wait, or call the FS that it is told about. So nothing else in the package calls
// it: messages are written into a journal, and told once nothing is locked, in the
// goroutine of whoever called the package.

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessages bounds the memory of messages that are yet to be told: as many as there can
// be problems, and some.
const maxMessages = maxProblems + 1000

// journal keeps messages until they are told. All of its methods may be called
// concurrently; tell and tellOr only when nothing is locked.
type journal struct {
	to      *slog.Logger // nil if nobody listens
	waiting atomic.Bool  // there are messages

	mu       sync.Mutex
	messages []message // in the order in which they came
	leftOut  int       // how many did not fit
	telling  bool      // a goroutine is in tell
}

type message struct {
	record slog.Record
	with   func(slog.Handler) slog.Handler // adds attributes and groups; nil if there are none
}

func newJournal(to *slog.Logger) *journal { return &journal{to: to} }

// log returns the logger that writes into the journal.
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

// tell gives all messages to the caller's logger, one at a time. If another goroutine is
// doing so, it tells them, and so does not call back itself when a logger calls the
// package. What is left after a logger's panic is told next time.
func (j *journal) tell() {
	if !j.waiting.Load() || !j.begin() {
		return
	}
	told := false
	defer func() {
		if !told { // the logger has panicked, or ended the goroutine
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

// tellOr is tell, and calls undo if the logger panics or ends the goroutine.
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

// begin reports whether the caller is to tell.
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

// next takes the first message. If there is none, telling has ended.
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
		// As with any logger, what goes wrong with logging is nobody's error.
		_ = h.Handle(ctx, m.record)
	}
}

// journalHandler writes records into a journal. What it is given With is only applied
// when they are told.
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
