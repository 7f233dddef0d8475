/** What one machine has to do with one run. */
export interface Cell {
  state: 'WAITING' | 'WORKING' | 'SUCCEEDED' | 'FAILED'
  attempt: number
  message: string | null
}

export interface ModelRun {
  id: string
  isPaused: boolean
  isCancelled: boolean
  cells: Map<string, Cell>
}

export interface Rules {
  /** 0: no limit. */
  maxConcurrentSession: number
  maxRetries: number
}

/**
 * What users may expect of a job and its runs, without time, leases, batches or crashes. Which of several machines gets
 * a free session is left open: `adopt` takes over what was seen, after `expectedAtWork` was found to hold.
 */
export class Reference {
  isEnabled = true
  readonly online = new Set<string>()
  readonly bound = new Set<string>()
  readonly runs: ModelRun[] = []

  constructor(readonly rules: Rules) {}

  canRun(): boolean {
    return this.isEnabled && this.bound.size > 0
  }

  open(id: string): void {
    const cell = (): Cell => ({ state: 'WAITING', attempt: 1, message: null })
    const cells = new Map([...this.bound].map((name) => [name, cell()]))
    this.runs.push({ id, isPaused: false, isCancelled: false, cells })
  }

  isOpen(run: ModelRun): boolean {
    return [...run.cells.values()].some(({ state }) => state === 'WAITING' || state === 'WORKING')
  }

  /** Whether an order to the run is obeyed; the model changes with it. */
  order(run: ModelRun, word: 'cancel' | 'pause' | 'resume'): boolean {
    if (word === 'cancel') {
      if (run.isCancelled) return true
      if (!this.isOpen(run)) return false
      run.isCancelled = true
      run.isPaused = false
      for (const cell of run.cells.values()) if (cell.state === 'WAITING') end(cell, 'the run was cancelled')
      return true
    }
    if (run.isCancelled || !this.isOpen(run)) return false
    run.isPaused = word === 'pause'
    return true
  }

  finish(run: ModelRun, name: string, isSuccess: boolean): void {
    const cell = run.cells.get(name)
    if (cell?.state !== 'WORKING') throw new Error(`${name} does not work on this run`)
    if (isSuccess) Object.assign(cell, { state: 'SUCCEEDED', message: null })
    else if (cell.attempt > this.rules.maxRetries) end(cell, 'broken')
    else {
      cell.attempt++
      if (run.isCancelled) end(cell, 'the run was cancelled')
      else Object.assign(cell, { state: 'WAITING', message: 'broken' })
    }
  }

  atWork(): { run: ModelRun; name: string }[] {
    return this.cellsThat((_, cell) => cell.state === 'WORKING')
  }

  eligible(): { run: ModelRun; name: string }[] {
    return this.cellsThat((run, { state }, name) => state === 'WAITING' && !run.isPaused && this.online.has(name))
  }

  expectedAtWork(): number {
    const { maxConcurrentSession: most } = this.rules
    const wanted = this.atWork().length + this.eligible().length
    return most === 0 ? wanted : Math.min(wanted, most)
  }

  adopt(run: ModelRun, name: string): void {
    const cell = run.cells.get(name)
    if (cell) cell.state = 'WORKING'
  }

  private cellsThat(is: (run: ModelRun, cell: Cell, name: string) => boolean): { run: ModelRun; name: string }[] {
    return this.runs.flatMap((run) =>
      [...run.cells].filter(([name, cell]) => is(run, cell, name)).map(([name]) => ({ run, name }))
    )
  }
}

function end(cell: Cell, message: string): void {
  cell.state = 'FAILED'
  cell.message = message
}
