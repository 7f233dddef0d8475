import { Counter, createMetrics, Gauge, Histogram, type Log, type Metrics } from '@fleetgate/kit'
import type { Counts } from './executions/execution.js'
import type { RunResult, RunState } from './runs/run.js'

/** Open runs in one state, and how their executions stand, added up. */
export interface OpenRuns {
  state: RunState
  runs: number
  counts: Omit<Counts, 'total'>
}

export interface FigureSources {
  log: Log
  lagMs: () => number
  /** Of all tenants. */
  openRuns: () => Promise<OpenRuns[]>
}

export interface SchedulerFigures {
  metrics: Metrics
  /** Commands went out so long after the first of them was due, in milliseconds. */
  dispatched(lagMs: number): void
  runFinished(result: RunResult): void
}

/** Open runs and executions are counted in the documents, so every replica shows the same; the rest is its own. */
export function createFigures({ log, lagMs, openRuns }: FigureSources): SchedulerFigures {
  const metrics = createMetrics('scheduler')
  const registers = [metrics.registry]
  new Gauge({
    name: 'scheduler_uplink_lag_seconds',
    help: 'Age of the oldest message of a machine that is being worked on',
    registers,
    collect() {
      this.set(lagMs() / 1000)
    }
  })
  const lag = new Histogram({
    name: 'scheduler_dispatch_lag_seconds',
    help: 'Time from the moment a command was due to its sending',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers
  })
  const finished = new Counter({
    name: 'scheduler_runs_finished_total',
    help: 'Runs that have ended, by result',
    labelNames: ['result'] as const,
    registers
  })
  for (const result of ['SUCCESS', 'FAILED'] as const) finished.inc({ result }, 0)
  const open = shared(() => openRuns().catch((err) => log.debug({ err }, 'open runs not counted')))
  new Gauge({
    name: 'scheduler_open_executions',
    help: 'Executions of open runs, by state',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const found = await open()
      for (const state of ['waiting', 'running', 'succeeded', 'failed'] as const) {
        if (found) this.set({ state }, sum(found.map(({ counts }) => counts[state])))
      }
    }
  })
  new Gauge({
    name: 'scheduler_open_runs',
    help: 'Runs that have not ended, by state',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const found = await open()
      for (const state of ['PREPARING', 'RUNNING'] as const) {
        if (found) this.set({ state }, found.find((one) => one.state === state)?.runs ?? 0)
      }
    }
  })
  return {
    metrics,
    dispatched: (ms) => lag.observe(ms / 1000),
    runFinished: (result) => finished.inc({ result })
  }
}

/** One answer for all that ask while it is under way: the figures of one scrape. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let asking: Promise<T> | undefined
  return () => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }
}

function sum(figures: number[]): number {
  return figures.reduce((total, figure) => total + figure, 0)
}
