import { Worker } from 'node:worker_threads'
import { AppError } from '@fleetgate/kit'

export interface Evaluation {
  code: string
  /** JSON of `{ globals, argument }`. */
  input: string
  limits: { timeMs: number; memoryBytes: number; outputBytes: number }
}

/** After a broken one the worker is of no more use. */
export type Verdict = ({ output: string } | { error: string }) & { isBroken?: boolean }

export interface Program {
  code: string
  /** Names that the code finds. */
  globals: Record<string, unknown>
  /** What `main` is given, where the code declares one; else its last value counts. */
  argument: unknown
}

export interface Sandbox {
  /** Answers what the code does as JSON says it; throws `invalid_state` with the reason where it fails. */
  run(program: Program): Promise<unknown>
  close(): Promise<void>
}

const limits = { timeMs: 1000, memoryBytes: 32 * 1024 * 1024, outputBytes: 64 * 1024 }
/** Beyond the engine's own deadline: what does not even answer then is ended from outside. */
const graceMs = 4000
const maxWaiting = 1000

/** People's code in QuickJS (no files, network or processes), in worker threads: an endless loop never stalls the service. */
export function createSandbox(size = 2): Sandbox {
  const idle: Worker[] = []
  const all = new Set<Worker>()
  const waiting: ((worker: Worker) => void)[] = []
  let isClosed = false

  async function start(): Promise<Worker> {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 64 },
      // Nothing of the service's own: neither its environment, which names secrets, nor its options.
      env: {},
      execArgv: []
    })
    worker.unref()
    all.add(worker)
    worker.on('error', () => all.delete(worker))
    await next(worker, 20_000)
    return worker
  }

  async function take(): Promise<Worker> {
    const free = idle.pop()
    if (free) return free
    if (all.size < size) return start()
    if (waiting.length >= maxWaiting) throw new AppError('rate_limited', 'too much code is waiting to be run')
    return new Promise((resolve) => waiting.push(resolve))
  }

  function giveBack(worker: Worker): void {
    const first = waiting.shift()
    if (first) first(worker)
    else idle.push(worker)
  }

  async function replace(worker: Worker): Promise<void> {
    all.delete(worker)
    await worker.terminate()
    if (waiting.length > 0 && !isClosed) giveBack(await start())
  }

  return {
    async run({ code, globals, argument }) {
      const worker = await take()
      const answer = next(worker, limits.timeMs + graceMs)
      worker.postMessage({ code, input: JSON.stringify({ globals, argument }), limits } satisfies Evaluation)
      const verdict = (await answer.catch((error: Error) => ({ error: error.message, isBroken: true }))) as Verdict
      if (verdict.isBroken) void replace(worker)
      else giveBack(worker)
      if ('error' in verdict) throw new AppError('invalid_state', verdict.error)
      return JSON.parse(verdict.output)
    },

    async close() {
      isClosed = true
      await Promise.all([...all].map((worker) => worker.terminate()))
    }
  }
}

function next(worker: Worker, withinMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer)
      worker.off('message', onMessage)
      worker.off('error', onError)
      worker.off('exit', onExit)
      settle()
    }
    const onMessage = (message: unknown) => end(() => resolve(message))
    const onError = (error: Error) => end(() => reject(new Error(`the code was stopped: ${error.message}`)))
    const onExit = () => end(() => reject(new Error('the code was stopped')))
    const timer = setTimeout(() => end(() => reject(new Error('the code took too long'))), withinMs)
    worker.on('message', onMessage).on('error', onError).on('exit', onExit)
  })
}
