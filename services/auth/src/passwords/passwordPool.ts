import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { AppError, type Log } from '@fleetgate/kit'

/** bcrypt's cost of every hash we make; one number, so that every check takes the same time. */
const passwordCost = 10

export type PasswordJob =
  | { kind: 'hash'; password: string; cost: number }
  | { kind: 'compare'; password: string; hash: string }
export type PasswordAnswer = { value: string | boolean } | { error: string }

interface Waiting {
  job: PasswordJob
  resolve: (value: string | boolean) => void
  reject: (error: unknown) => void
}

export interface PasswordPool {
  hash(password: string): Promise<string>
  matches(password: string, hash: string): Promise<boolean>
  /** A hash that no password matches, and that takes as long to compare as every other. */
  decoy(): string
  close(): Promise<void>
}

export interface PasswordPoolOptions {
  /** Threads at most: each starts when a job finds all others at work, because it takes as long as two checks. */
  workers: number
  /** Jobs that may wait; one more is refused as rate_limited. */
  queue: number
  log: Log
  /** Tests whose subject are not passwords make cheaper hashes. */
  cost?: number | undefined
}

/** bcrypt in worker threads: one check takes 65 ms of a core, which the event loop must not lose. */
export function createPasswordPool({ workers, queue, log, cost = passwordCost }: PasswordPoolOptions): PasswordPool {
  const idle: Worker[] = []
  const busy = new Map<Worker, Waiting>()
  const waiting: Waiting[] = []
  let closed = false

  function start(): void {
    const worker = new Worker(new URL('./passwordWorker.js', import.meta.url))
    worker.on('message', (answer: PasswordAnswer) => finish(worker, answer))
    worker.on('error', (error) => log.error({ err: error }, 'password worker failed'))
    worker.on('exit', () => replace(worker))
    idle.push(worker)
  }

  function finish(worker: Worker, answer: PasswordAnswer): void {
    const done = busy.get(worker)
    busy.delete(worker)
    idle.push(worker)
    if ('error' in answer) done?.reject(new Error(answer.error))
    else done?.resolve(answer.value)
    next()
  }

  function replace(worker: Worker): void {
    busy.get(worker)?.reject(new AppError('unavailable', 'the password check was interrupted, try again'))
    busy.delete(worker)
    const place = idle.indexOf(worker)
    if (place >= 0) idle.splice(place, 1)
    if (!closed) next()
  }

  const isFull = () => idle.length + busy.size >= workers

  function next(): void {
    while (waiting.length > 0) {
      if (idle.length === 0) {
        if (isFull()) return
        start()
      }
      const worker = idle.pop() as Worker
      const job = waiting.shift() as Waiting
      busy.set(worker, job)
      worker.postMessage(job.job)
    }
  }

  function run(job: PasswordJob): Promise<string | boolean> {
    if (closed) return Promise.reject(new AppError('unavailable', 'the service is stopping'))
    if (idle.length === 0 && isFull() && waiting.length >= queue) {
      const message = 'too many password checks at once, try again later'
      return Promise.reject(new AppError('rate_limited', message, { retryAfter: 1 }))
    }
    return new Promise((resolve, reject) => {
      waiting.push({ job, resolve, reject })
      next()
    })
  }

  return {
    hash: async (password) => String(await run({ kind: 'hash', password, cost })),
    matches: async (password, hash) => (await run({ kind: 'compare', password, hash })) === true,
    decoy: () => decoyHash(cost),
    close: async () => {
      closed = true
      const stopped = new AppError('unavailable', 'the service is stopping')
      for (const job of waiting.splice(0)) job.reject(stopped)
      await Promise.all([...idle, ...busy.keys()].map((worker) => worker.terminate()))
    }
  }
}

/** bcrypt's form with bytes that nobody hashed: its base64 has a dot where others have a plus. */
function decoyHash(cost: number): string {
  const bytes = randomBytes(40).toString('base64').replaceAll('+', '.')
  return `$2b$${String(cost).padStart(2, '0')}$${bytes.slice(0, 53)}`
}
