import type { ExecutionCommand, ReportEvent } from '@fleetgate/contracts/fleet'

/** Names an attempt: every record but a snapshot belongs to one. */
interface Of {
  executionId: string
  attempt: number
}

/** One launch of a program: the folder below STATE_DIR/runs that holds what became of it. */
export interface Launch {
  /** `<taskId>/<scriptId>` */
  key: string
  folder: string
  /** Which of the step's tries this is, from 1. */
  tryNumber: number
}

/** What a step must find again when it goes on after a restart or a failed try. */
export interface Mark {
  /** The try at work, from 1. */
  tryNumber?: number | undefined
  /** The files that it acts on, found once: what appears later is none of its business. */
  plan?: string[] | undefined
}

/** Everything known of an attempt in one record: what compaction writes. */
export interface Snapshot extends Of {
  t: 'attempt'
  epoch: number
  receivedAt: number
  command?: ExecutionCommand | undefined
  events: ReportEvent[]
  answers: [key: string, answer: boolean][]
  launches: Launch[]
  marks?: [key: string, mark: Mark][] | undefined
  acknowledged: number
  stopped?: string | undefined
}

/** The journal's lines. Replaying a line twice changes nothing. */
export type JournalRecord =
  | (Of & { t: 'received'; epoch: number; at: number; command: ExecutionCommand })
  | (Of & { t: 'epoch'; epoch: number })
  | (Of & { t: 'event'; event: ReportEvent; answer?: boolean | undefined })
  | (Of & { t: 'launch'; launch: Launch })
  | (Of & { t: 'mark'; key: string; mark: Mark })
  | (Of & { t: 'acknowledged'; seq: number })
  | (Of & { t: 'stopped'; reason: string })
  | Snapshot
