import { Worker } from 'node:worker_threads'
import { AppError } from '@fleetgate/kit'

export interface Evaluation {
  code: string
  /** JSON of `{ globals, argument }`. */
  input: string
  limits: { timeMs: number; outputBytes: number }
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
  /**
   * Answers what the code does as JSON says it; throws `invalid_state` with the reason where it fails. Code that waits is never begun
   * once the signal has come.
   */
  run(program: Program, signal?: AbortSignal): Promise<unknown>
  close(): Promise<void>
}

/** Beside what the engine itself takes. */
export const memoryBytes = 32 * 1024 * 1024
const limits = { timeMs: 1000, outputBytes: 64 * 1024 }
/** Beyond the engine's own deadline: what does not even answer then is ended from outside. */
const graceMs = 4000
const maxWaiting = 1000

interface Waiter {
  take(worker: Worker): void
  fail(error: Error): void
}

/** People's code in QuickJS (no files, network or processes), in worker threads: an endless loop never stalls the service. */
export function createSandbox(size = 2): Sandbox {
  const idle: Worker[] = []
  const all = new Set<Worker>()
  const waiting = new Set<Waiter>()
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
    // Its end follows, and says enough.
    worker.on('error', () => {})
    worker.on('exit', () => forget(worker))
    try {
      await next(worker, 20_000)
      return worker
    } catch (error) {
      await worker.terminate()
      throw error
    }
  }

  function forget(worker: Worker): void {
    all.delete(worker)
    const place = idle.indexOf(worker)
    if (place >= 0) idle.splice(place, 1)
    serve()
  }

  function first(): Waiter | undefined {
    const [waiter] = waiting
    if (waiter) waiting.delete(waiter)
    return waiter
  }

  /** Idle workers to those who wait; a worker more where all are busy. */
  function serve(): void {
    while (waiting.size > 0 && idle.length > 0) first()?.take(idle.pop() as Worker)
    if (isClosed || waiting.size === 0 || all.size >= size) return
    start()
      .then(giveBack)
      .catch((error: Error) => first()?.fail(error))
      .finally(serve)
  }

  function giveBack(worker: Worker): void {
    if (all.has(worker)) idle.push(worker)
  }

  /** Who is not waited for any more gives up its place. */
  function take(signal: AbortSignal | undefined): Promise<Worker> {
    if (waiting.size >= maxWaiting) throw new AppError('rate_limited', 'too much code is waiting to be run')
    return new Promise((resolve, reject) => {
      const gone = () => {
        waiting.delete(waiter)
        reject(new AppError('timeout', 'the code was not begun in time'))
      }
      const waiter: Waiter = {
        take(worker) {
          signal?.removeEventListener('abort', gone)
          resolve(worker)
        },
        fail(error) {
          signal?.removeEventListener('abort', gone)
          reject(error)
        }
      }
      if (signal?.aborted) return gone()
      signal?.addEventListener('abort', gone, { once: true })
      waiting.add(waiter)
      serve()
    })
  }

  return {
    async run({ code, globals, argument }, signal) {
      const input = JSON.stringify({ globals, argument })
      const worker = await take(signal)
      const answer = next(worker, limits.timeMs + graceMs)
      worker.postMessage({ code, input, limits } satisfies Evaluation)
      const verdict = (await answer.catch((error: Error) => ({ error: error.message, isBroken: true }))) as Verdict
      if (verdict.isBroken) void worker.terminate()
      else giveBack(worker)
      serve()
      if ('error' in verdict) throw new AppError('invalid_state', verdict.error)
      return JSON.parse(verdict.output)
    },

    async close() {
      isClosed = true
      for (const waiter of [...waiting]) waiter.fail(new AppError('unavailable', 'the service stops'))
      waiting.clear()
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
