/** What one node did. */
export interface Trace {
  nodeId: string
  /** Of the editor. */
  label: string
  name: string
  status: 'SUCCESS' | 'ERROR'
  startedAt: number
  costMs: number
  message?: string | undefined
  /** JSON. */
  input: string
  output?: string | undefined
  branch?: string | undefined
  /** Its output is what a caller of the run is answered. */
  isAnswer?: boolean | undefined
}

/** Where a run keeps what happened, so that another process can go on. */
export interface Journal {
  /** Before a node does something outside; rejects where the run is no longer ours. */
  begin(nodeId: string): Promise<void>
  done(trace: Trace): Promise<void>
  /** Asked before each node: true where another process is to do the rest. */
  isPaused(): boolean
  /** Whether a run that breaks off is taken up again later. */
  isTakenUp: boolean
}

/** Another process took the run over: this one writes and sends nothing more. */
export class LostRun extends Error {}

/** The rest of the run is for another process. */
export class PausedRun extends Error {}
