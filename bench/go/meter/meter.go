// Package meter is what the Go consumers that are measured share: flags, what a handler does, what is counted, and the line that is printed.
// They are those of bench/meter.
package meter

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// latencies is the number of messages up to which each one's latency is kept.
const latencies = 250_000

// Flags is what a consumer is started with.
type Flags struct {
	Brokers, Topic, Group string
	Count                 int64
	Work                  Work
	Concurrency           int
	// Ordering is "partition" or "none". A client without an order by key keeps that of partitions for "key".
	Ordering string
}

// Parse reads the command line, and exits where it is wrong.
func Parse() Flags {
	var f Flags
	flag.StringVar(&f.Brokers, "brokers", "127.0.0.1:9092", "bootstrap servers")
	flag.StringVar(&f.Topic, "topic", "", "the topic that is read")
	flag.StringVar(&f.Group, "group", "", "a group that was never used before")
	flag.Int64Var(&f.Count, "count", 0, "messages to handle")
	flag.Var(&f.Work, "work", "none, sleep:MS or skew:MS:SLOWMS")
	flag.IntVar(&f.Concurrency, "concurrency", 8, "handlers at once, where no order is kept")
	flag.StringVar(&f.Ordering, "ordering", "partition", "partition, key or none")
	flag.Parse()
	return f
}

// Work is what a handler does: it waits, and longer where the message's number is a multiple of 100.
type Work struct{ wait, slow time.Duration }

func (w *Work) String() string { return fmt.Sprint(w.wait, w.slow) }

// Set reads what the flag has.
func (w *Work) Set(text string) error {
	parts := strings.Split(text, ":")
	times := make([]time.Duration, len(parts)-1)
	for i, part := range parts[1:] {
		ms, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return err
		}
		times[i] = time.Duration(ms * float64(time.Millisecond))
	}
	switch {
	case parts[0] == "none" && len(times) == 0:
		*w = Work{}
	case parts[0] == "sleep" && len(times) == 1:
		*w = Work{times[0], times[0]}
	case parts[0] == "skew" && len(times) == 2:
		*w = Work{times[0], times[1]}
	default:
		return fmt.Errorf("it is none of none, sleep:MS, skew:MS:SLOWMS")
	}
	return nil
}

// Meter has the counts of one run. Handlers call it from any goroutine.
type Meter struct {
	// End is closed with the last message.
	End chan struct{}

	count         int64
	work          Work
	started, done atomic.Int64
	latenciesUs   []uint32

	mu     sync.Mutex
	first  time.Time
	report report
}

type report struct {
	N           int64    `json:"n"`
	Secs        float64  `json:"secs"`
	MsgsPerS    float64  `json:"msgs_per_s"`
	CPUUser     float64  `json:"cpu_user_s"`
	CPUSys      float64  `json:"cpu_sys_s"`
	CPUBefore   float64  `json:"cpu_before_first_s"`
	T80         float64  `json:"t80_s"`
	MaxRSS      float64  `json:"max_rss_mb"`
	P50         *float64 `json:"p50_ms"`
	P99         *float64 `json:"p99_ms"`
	FirstUnixUs int64    `json:"first_unix_us"`
}

// New is for a run with these flags.
func New(f Flags) *Meter {
	m := &Meter{End: make(chan struct{}), count: f.Count, work: f.Work}
	if f.Count <= latencies {
		m.latenciesUs = make([]uint32, f.Count)
	}
	return m
}

// Handle is the whole handler.
func (m *Meter) Handle(payload []byte) {
	index := m.started.Add(1) - 1
	if index == 0 {
		user, system, _ := usage()
		m.mu.Lock()
		m.first = time.Now()
		m.report.FirstUnixUs = m.first.UnixMicro()
		m.report.CPUBefore = user + system
		m.mu.Unlock()
	}
	if index < int64(len(m.latenciesUs)) {
		m.latenciesUs[index] = uint32(max(0, time.Now().UnixMicro()-field(payload, 21, 16)))
	}
	if m.work.slow > 0 {
		if field(payload, 5, 10)%100 == 0 {
			time.Sleep(m.work.slow)
		} else {
			time.Sleep(m.work.wait)
		}
	}
	done := m.done.Add(1)
	if done != m.count*8/10 && done != m.count {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	elapsed := time.Since(m.first).Seconds()
	if done == m.count*8/10 {
		m.report.T80 = elapsed
	}
	if done == m.count {
		m.report.Secs = elapsed
		m.report.CPUUser, m.report.CPUSys, m.report.MaxRSS = usage()
		close(m.End)
	}
}

// Print prints the line, once the last message is done.
func (m *Meter) Print() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.N = m.count
	m.report.MsgsPerS = float64(m.count) / m.report.Secs
	if kept := m.latenciesUs[len(m.latenciesUs)/10:]; len(kept) > 0 {
		slices.Sort(kept)
		percentile := func(part int) *float64 {
			ms := float64(kept[len(kept)*part/100]) / 1e3
			return &ms
		}
		m.report.P50, m.report.P99 = percentile(50), percentile(99)
	}
	line, err := json.Marshal(m.report)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(line))
}

// field is the number at a fixed place, padded with spaces on the left.
func field(payload []byte, at, length int) (value int64) {
	if len(payload) < at+length {
		return 0
	}
	for _, b := range payload[at : at+length] {
		if b >= '0' && b <= '9' {
			value = value*10 + int64(b-'0')
		}
	}
	return value
}

// usage is the seconds of CPU in user and system, and the largest resident set in MiB, of this process so far.
func usage() (user, system, peak float64) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0, 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(r.Utime), seconds(r.Stime), peakMiB()
}

// peakMiB is not taken from Rusage, which counts in what the process was before it became this program: a part of whoever started it.
func peakMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
