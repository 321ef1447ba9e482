// kafka-go's Reader: a goroutine a partition. Without order, workers behind one queue, and a ledger of our own, since CommitMessages keeps
// the highest offset that it is given. Commits are flushed in the background every second, of handled messages only.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"bench/meter"
	kafka "github.com/segmentio/kafka-go"
)

// ahead is how many messages may wait before a goroutine.
const ahead = 100

func main() {
	flags := meter.Parse()
	m := meter.New(flags)
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:        []string{flags.Brokers},
		GroupID:        flags.Group,
		Topic:          flags.Topic,
		StartOffset:    kafka.FirstOffset,
		CommitInterval: time.Second,
		MinBytes:       1,
		MaxBytes:       10e6,
		MaxWait:        500 * time.Millisecond,
		QueueCapacity:  ahead,
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-m.End
		cancel()
	}()
	if flags.Ordering == "none" {
		unordered(ctx, reader, m, flags.Concurrency)
	} else {
		byPartition(ctx, reader, m)
	}
	<-m.End
	m.Print()
	closed := make(chan struct{})
	go func() {
		if err := reader.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
	}
}

func commit(reader *kafka.Reader, message kafka.Message) {
	if err := reader.CommitMessages(context.Background(), message); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// ledger is what is done of a partition behind the first message that isn't.
type ledger struct {
	next int64
	done map[int64]kafka.Message
}

func unordered(ctx context.Context, reader *kafka.Reader, m *meter.Meter, concurrency int) {
	var mu sync.Mutex
	ledgers := map[int]*ledger{}
	queue := make(chan kafka.Message, max(ahead, concurrency))
	for range concurrency {
		go func() {
			for message := range queue {
				m.Handle(message.Value)
				mu.Lock()
				l := ledgers[message.Partition]
				l.done[message.Offset] = kafka.Message{Topic: message.Topic, Partition: message.Partition, Offset: message.Offset}
				var last *kafka.Message
				for done, ok := l.done[l.next]; ok; done, ok = l.done[l.next] {
					delete(l.done, l.next)
					l.next++
					last = &done
				}
				if last != nil {
					commit(reader, *last)
				}
				mu.Unlock()
			}
		}()
	}
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return
		}
		mu.Lock()
		if ledgers[message.Partition] == nil {
			ledgers[message.Partition] = &ledger{message.Offset, map[int64]kafka.Message{}}
		}
		mu.Unlock()
		queue <- message
	}
}

func byPartition(ctx context.Context, reader *kafka.Reader, m *meter.Meter) {
	lanes := map[int]chan kafka.Message{}
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return
		}
		lane := lanes[message.Partition]
		if lane == nil {
			lane = make(chan kafka.Message, ahead)
			lanes[message.Partition] = lane
			go func() {
				for message := range lane {
					m.Handle(message.Value)
					commit(reader, message)
				}
			}()
		}
		select {
		case lane <- message:
		case <-ctx.Done():
			return
		}
	}
}
