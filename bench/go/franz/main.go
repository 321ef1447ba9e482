// franz-go: a goroutine a partition; records are marked when they are handled, and the client commits the marks every 5 s. Without
// order, a pool of goroutines, and what was polled is marked when all of it is done.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"bench/meter"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ahead is how many polls' records a partition's goroutine may have before it.
const ahead = 5

func main() {
	flags := meter.Parse()
	m := meter.New(flags)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(flags.Brokers),
		kgo.ConsumerGroup(flags.Group),
		kgo.ConsumeTopics(flags.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-m.End
		cancel()
	}()
	if flags.Ordering == "none" {
		unordered(ctx, client, m, flags.Concurrency)
	} else {
		byPartition(ctx, client, m)
	}
	<-m.End
	if err := client.CommitMarkedOffsets(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	m.Print()
}

func unordered(ctx context.Context, client *kgo.Client, m *meter.Meter, concurrency int) {
	var left sync.WaitGroup
	pool := make(chan *kgo.Record, concurrency)
	for range concurrency {
		go func() {
			for record := range pool {
				m.Handle(record.Value)
				left.Done()
			}
		}()
	}
	for ctx.Err() == nil {
		records := client.PollRecords(ctx, 10_000).Records()
		left.Add(len(records))
		for _, record := range records {
			pool <- record
		}
		left.Wait()
		client.MarkCommitRecords(records...)
		client.AllowRebalance()
	}
}

func byPartition(ctx context.Context, client *kgo.Client, m *meter.Meter) {
	lanes := map[int32]chan []*kgo.Record{}
	for ctx.Err() == nil {
		client.PollRecords(ctx, 10_000).EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			lane := lanes[p.Partition]
			if lane == nil {
				lane = make(chan []*kgo.Record, ahead)
				lanes[p.Partition] = lane
				go func() {
					for records := range lane {
						for _, record := range records {
							m.Handle(record.Value)
						}
						client.MarkCommitRecords(records[len(records)-1])
					}
				}()
			}
			select {
			case lane <- p.Records:
			case <-ctx.Done():
			}
		})
		client.AllowRebalance()
	}
}
