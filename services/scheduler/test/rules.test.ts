import { AppError, castIdOf, isCastOf, type Report, type ReportEvent } from '@fleetgate/kit'
import t from 'tap'
import { isMissed, newestPerClient } from '../src/clients/client.js'
import { noCounts } from '../src/executions/execution.js'
import {
  correctedTime,
  type ExecutionHead,
  maxBytes,
  maxSeq,
  planChanges,
  type ReceivedReport
} from '../src/executions/reports.js'
import { flatten, viewOf } from '../src/executions/view.js'
import { freeze } from '../src/runs/openRun.js'
import { waitingReason } from '../src/runs/reasons.js'
import { commandSources, resultOf } from '../src/runs/run.js'
import { inOrder } from '../src/runs/servers.js'
import { settled } from '../src/runs/settle.js'
import { parseStageId, type RunSource, sourcesOf, stageIdOf } from '../src/runs/sources.js'
import { nextStageStep } from '../src/runs/staging.js'
import { checkSteps, numberSteps } from '../src/tasks/steps.js'

function codeOf(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error instanceof AppError ? { code: error.code, field: error.details.field, message: error.message } : error
  }
  return 'nothing was thrown'
}

t.test('steps', async (t) => {
  const send = { type: 'SEND_FILE', filePath: '/a/b', targetFilePath: 'c' }

  t.test('fills in what the document leaves out, and takes maxRetryTime for retryTimes', async (t) => {
    const [step] = checkSteps([{ ...send, maxRetryTime: 4, transferOption: {} }])
    t.match(step, {
      order: 0,
      block: true,
      retryTimes: 4,
      retryInterval: 0,
      overWrite: 'OVERWRITE',
      transferOption: {}
    })
  })

  t.test('sorts by order, the place in the list deciding between equals', async (t) => {
    const drafts = [
      { ...send, order: 2 },
      { ...send, order: 1, filePath: 'x' },
      { ...send, order: 1, filePath: 'y' }
    ]
    t.strictSame(
      checkSteps(drafts).map(({ filePath }) => filePath),
      ['x', 'y', '/a/b']
    )
  })

  t.test('takes the example of the document', async (t) => {
    const condition = { type: 'GET_FILE_STATUS', order: 0, filePath: '/a/mock/path', block: true }
    const run = { type: 'EXECUTE_FILE', order: 3, filePath: '/a/mokc/path', block: true }
    const [step] = checkSteps([{ type: 'IF', order: 0, conditions: [condition], true: [send], false: [run] }])
    t.equal(step?.conditions?.[0]?.type, 'GET_FILE_STATUS')
    t.equal(step?.true?.[0]?.type, 'SEND_FILE')
    t.equal(step?.false?.[0]?.type, 'EXECUTE_FILE')
  })

  t.test('refuses with the place of the fault', async (t) => {
    const nested = {
      type: 'IF',
      conditions: [{ type: 'GET_FILE_STATUS', filePath: 'x' }],
      true: [send, { type: 'EXECUTE_FILE' }]
    }
    t.match(
      codeOf(() => checkSteps([nested])),
      { code: 'invalid_input', field: '[0].true[1].filePath' }
    )
    t.match(
      codeOf(() => checkSteps([{ type: 'NAP' }])),
      { code: 'invalid_input', field: '[0].type' }
    )
    t.match(
      codeOf(() => checkSteps(['x'])),
      { code: 'invalid_input', field: '[0]' }
    )
    t.match(
      codeOf(() => checkSteps([{ ...send, targetFilePath: '' }])),
      { field: '[0].targetFilePath' }
    )
    t.match(
      codeOf(() => checkSteps([{ ...send, filePath: { $gt: '' } }])),
      { field: '[0].filePath' }
    )
    t.match(
      codeOf(() => checkSteps([{ ...send, filePath: 'a\u0000b' }])),
      { field: '[0].filePath' }
    )
    t.match(
      codeOf(() => checkSteps([{ ...send, overWrite: 'SOMETIMES' }])),
      { field: '[0].overWrite' }
    )
    t.match(
      codeOf(() => checkSteps([{ ...send, retryTimes: -1 }])),
      { field: '[0].retryTimes' }
    )
    t.match(
      codeOf(() => checkSteps([{ type: 'IF', conditions: [] }])),
      { field: '[0].conditions' }
    )
  })

  t.test('takes the verbs that work on one machine, with what each of them needs', async (t) => {
    const copy = { type: 'COPY_FILE', filePath: 'a/*', targetFilePath: 'b/', ignoreHiddenFile: true, block: false }
    const wait = { type: 'WAIT_FLAG_FILE', filePath: 'flag', timeout: 60, retryTimes: 2, retryInterval: 1 }
    const steps = checkSteps([copy, { type: 'DELETE_FILE', filePath: 'a' }, wait])
    t.match(steps, [{ ...copy, overWrite: 'OVERWRITE' }, { type: 'DELETE_FILE', block: true }, wait])
    for (const type of ['COPY_FILE', 'RECV_FILE', 'BROADCAST']) {
      t.match(
        codeOf(() => checkSteps([{ type, filePath: 'a' }])),
        { code: 'invalid_input', field: '[0].targetFilePath' },
        type
      )
    }
    for (const type of ['DELETE_FILE', 'WAIT_FLAG_FILE', 'UPLOAD_TO_SERVER']) {
      t.match(
        codeOf(() => checkSteps([{ type }])),
        { code: 'invalid_input', field: '[0].filePath' },
        type
      )
    }
  })

  t.test('keeps transferOption as it came, and refuses what it cannot mean', async (t) => {
    const transferOption = { rateLimit: 100_000, compress: true, note: { a: [1] }, other: null }
    const [cast] = checkSteps([{ ...send, type: 'BROADCAST', transferOption }])
    t.strictSame(cast?.transferOption, transferOption)
    t.strictSame(checkSteps([{ ...send, transferOption: { rateLimit: null } }])[0]?.transferOption, { rateLimit: null })
    for (const [wrong, field] of [
      [{ rateLimit: 1023 }, 'rateLimit'],
      [{ rateLimit: '5000' }, 'rateLimit'],
      [{ rateLimit: 5000.5 }, 'rateLimit'],
      [{ rateLimit: { $gt: '' } }, 'rateLimit'],
      [{ compress: 'yes' }, 'compress']
    ] as const) {
      t.match(
        codeOf(() => checkSteps([{ ...send, transferOption: wrong }])),
        { code: 'invalid_input', field: `[0].transferOption.${field}` },
        JSON.stringify(wrong)
      )
    }
  })

  t.test('refuses a condition that is no question, as unsupported', async (t) => {
    const asked = { type: 'IF', conditions: [{ type: 'EXECUTE_FILE', filePath: 'x' }] }
    t.match(
      codeOf(() => checkSteps([asked])),
      { code: 'unsupported', field: '[0].conditions[0].type', message: /cannot be a condition/ }
    )
  })

  t.test('refuses trees that are too deep or too long', async (t) => {
    const condition = { type: 'GET_FILE_STATUS', filePath: 'x' }
    const deep = (n: number): unknown => (n === 0 ? send : { type: 'IF', conditions: [condition], true: [deep(n - 1)] })
    t.match(
      codeOf(() => checkSteps([deep(20)])),
      { code: 'invalid_input', message: /nest/ }
    )
    t.match(
      codeOf(() => checkSteps(Array(501).fill(send))),
      { code: 'invalid_input', message: /500/ }
    )
  })

  t.test('numbers every step, and lets a step keep the number it had', async (t) => {
    const condition = { type: 'GET_FILE_STATUS', filePath: 'x', scriptId: 7 }
    const steps = checkSteps([
      { type: 'IF', conditions: [condition], true: [send], false: [{ ...send, scriptId: 99 }] }
    ])
    let next = 100
    const numbered = numberSteps(steps, new Set([7]), () => next++)
    t.strictSame(
      flatten(numbered).map(({ step, branch }) => [step.scriptId, branch]),
      [
        [100, undefined],
        [7, 'conditions'],
        [101, 'true'],
        [102, 'false']
      ]
    )
  })

  t.test('gives a number only once, also when two steps claim it', async (t) => {
    let next = 1
    const twice = checkSteps([
      { ...send, scriptId: 7 },
      { ...send, scriptId: 7 }
    ])
    t.strictSame(
      numberSteps(twice, new Set([7]), () => next++).map(({ scriptId }) => scriptId),
      [7, 1]
    )
  })
})

t.test('reports', async (t) => {
  const head: ExecutionHead = {
    _id: 'r-1',
    tenantId: 't1',
    runId: 'r',
    mqttClientId: 'm1',
    attempt: 2,
    maxAttempts: 3,
    retryWaitMs: 5000,
    state: 'DISPATCHED',
    open: true,
    size: 1000
  }
  const heads = new Map([[head._id, head]])
  const report = (events: ReportEvent[], attempt = 2, change: Partial<ReceivedReport> = {}): ReceivedReport => {
    const body: Report = { executionId: 'r-1', attempt, epoch: 1, sentAt: 1000, events }
    return { tenantId: 't1', clientId: 'm1', receivedAt: 1000, report: body, ...change }
  }
  const event = (seq: number, kind: ReportEvent['kind'], more: Partial<ReportEvent> = {}): ReportEvent => ({
    seq,
    at: 900 + seq,
    kind,
    ...more
  })

  t.test('makes one change of all reports of an attempt', async (t) => {
    const { changes, refusals } = planChanges(
      [report([event(1, 'RECEIVED')]), report([event(2, 'TASK_STARTED'), event(1, 'RECEIVED')])],
      heads
    )
    t.strictSame(refusals, [])
    t.equal(changes.length, 1)
    t.strictSame(
      changes[0]?.entries.map(([seq]) => seq),
      [1, 2]
    )
    t.match(changes[0], { attempt: 2, isLate: false, startedAt: 901, transition: { to: 'RUNNING' } })
  })

  t.test('the end of an execution counts wherever it stands in the batch', async (t) => {
    const end = report([event(9, 'FINISHED', { status: 'SUCCESS' })])
    for (const batch of [
      [end, report([event(1, 'RECEIVED')])],
      [report([event(1, 'RECEIVED')]), end]
    ]) {
      t.match(planChanges(batch, heads).changes[0]?.transition, { to: 'SUCCEEDED', at: 909 })
    }
  })

  t.test('a failure with attempts left is tried again, without it is final', async (t) => {
    const failed = [report([event(9, 'FINISHED', { status: 'FAILED', message: 'no disk' })])]
    t.strictSame(planChanges(failed, heads).changes[0]?.transition, {
      to: 'RETRY',
      at: 909,
      message: 'no disk',
      waitMs: 5000
    })
    const last = new Map([[head._id, { ...head, maxAttempts: 2 }]])
    t.strictSame(planChanges(failed, last).changes[0]?.transition, { to: 'FAILED', at: 909, message: 'no disk' })
  })

  t.test('an end without a status is a failure', async (t) => {
    const last = new Map([[head._id, { ...head, maxAttempts: 2 }]])
    t.match(planChanges([report([event(1, 'FINISHED')])], last).changes[0]?.transition, {
      to: 'FAILED',
      message: 'failed'
    })
  })

  t.test('a late report of an older attempt changes no state', async (t) => {
    const { changes } = planChanges([report([event(9, 'FINISHED', { status: 'SUCCESS' })], 1)], heads)
    t.match(changes[0], { attempt: 1, isLate: true, transition: undefined })
  })

  t.test('a report of an ended execution changes no state', async (t) => {
    const { open: _open, ...over } = head
    const { changes } = planChanges(
      [report([event(9, 'FINISHED', { status: 'SUCCESS' })])],
      new Map([[head._id, { ...over, state: 'FAILED' }]])
    )
    t.equal(changes[0]?.transition, undefined)
    t.equal(changes[0]?.entries.length, 1)
  })

  t.test('refuses what is not the own execution of the machine', async (t) => {
    const reason = (one: ReceivedReport) => planChanges([one], heads).refusals[0]?.reason
    const received = [event(1, 'RECEIVED')]
    t.equal(reason(report(received, 2, { clientId: 'm2' })), 'not the machine of this execution')
    t.equal(reason(report(received, 2, { tenantId: 't2' })), 'unknown execution')
    t.equal(reason(report(received, 3)), 'attempt was never given out')
    t.equal(planChanges([report(received)], new Map()).refusals[0]?.reason, 'unknown execution')
  })

  t.test('keeps the first writing of an event', async (t) => {
    const known = new Map([[head._id, { ...head, seqs: { 2: ['1'] } }]])
    t.strictSame(planChanges([report([event(1, 'RECEIVED')])], known).changes[0]?.entries, [])
  })

  t.test('keeps a bounded number of events, and still sees the end', async (t) => {
    const { changes } = planChanges([report([event(maxSeq + 1, 'FINISHED', { status: 'SUCCESS' })])], heads)
    t.match(changes[0], { entries: [], transition: { to: 'SUCCEEDED' } })
    const long = planChanges(
      [report([event(1, 'STEP_ENDED', { output: 'x'.repeat(9000), message: 'y'.repeat(9000) })])],
      heads
    )
    t.strictSame(
      long.changes[0]?.entries.map(([, entry]) => [entry.output?.length, entry.message?.length]),
      [[4096, 2048]]
    )
  })

  t.test('keeps a bounded number of bytes, though one batch brings more, and still sees the end', async (t) => {
    const loud = (attempt: number) => {
      const events = Array.from({ length: 1000 }, (_, i) => event(1 + i, 'STEP_ENDED', { output: '门'.repeat(4096) }))
      return report(events, attempt)
    }
    const end = report([event(2000, 'FINISHED', { status: 'SUCCESS' })])
    const { changes } = planChanges([loud(1), loud(2), end], heads)
    const bytes = Buffer.byteLength(JSON.stringify(changes.map(({ entries }) => entries)))
    t.ok(bytes > maxBytes - 50_000 && bytes < maxBytes + 50_000, `${bytes} bytes`)
    t.match(changes[1], { attempt: 2, notKept: Number, transition: { to: 'SUCCEEDED' } })
    const full = new Map([[head._id, { ...head, size: maxBytes }]])
    t.match(planChanges([end], full).changes, [{ entries: [], notKept: 1, transition: { to: 'SUCCEEDED' } }])
  })

  t.test('puts a wrong clock right, and leaves a right one alone', async (t) => {
    const wrong = report([event(1, 'RECEIVED')], 2, { receivedAt: 1_800_000_000_000 })
    t.equal(correctedTime(950, wrong), 1_800_000_000_000 - 50)
    t.equal(correctedTime(950, { ...wrong, receivedAt: 2900 }), 950)
    t.equal(correctedTime(5_000_000, { receivedAt: 1000, report: { ...wrong.report, sentAt: 5_000_100 } }), 900)
  })

  t.test('keeps the time of a clock that makes no sense between 1970 and the arrival', async (t) => {
    const told = report([event(1, 'RECEIVED')], 2, { receivedAt: 1_800_000_000_000 })
    const sentAt = (moment: number) => ({ ...told, report: { ...told.report, sentAt: moment } })
    const right = sentAt(told.receivedAt)
    t.equal(correctedTime(1e308, right), told.receivedAt + 2000)
    t.equal(correctedTime(8.7e15, right), told.receivedAt + 2000)
    t.equal(correctedTime(1000, sentAt(1e308)), 0)
    t.equal(correctedTime(1e308, sentAt(0)), told.receivedAt + 2000)
    const { changes } = planChanges(
      [{ ...right, report: { ...right.report, events: [event(1, 'FINISHED', { at: 1e308 })] } }],
      heads
    )
    t.match(changes, [{ startedAt: told.receivedAt + 2000, entries: [[1, { at: told.receivedAt + 2000 }]] }])
  })
})

t.test('the view of an execution', async (t) => {
  const [branch] = numberSteps(
    checkSteps([
      {
        type: 'IF',
        conditions: [{ type: 'GET_FILE_STATUS', filePath: 'x' }],
        true: [{ type: 'EXECUTE_FILE', filePath: 'y' }]
      }
    ]),
    new Set(),
    (() => {
      let next = 1
      return () => next++
    })()
  )
  const tasks = [{ taskId: 4, name: 'a', order: 0, scripts: branch ? [branch] : [] }]

  t.test('is read from the log, whatever the order of its keys', async (t) => {
    const log = {
      3: {
        at: 30,
        kind: 'STEP_ENDED' as const,
        taskId: 4,
        scriptId: 3,
        status: 'FAILED' as const,
        message: 'exit 1',
        exitCode: 1,
        output: 'boom'
      },
      1: { at: 10, kind: 'TASK_STARTED' as const, taskId: 4 },
      2: { at: 20, kind: 'STEP_STARTED' as const, taskId: 4, scriptId: 3 }
    }
    const [view] = viewOf(tasks, { attempt: 1, log: { 1: log }, open: true })
    t.match(view, { status: 'RUNNING', startedAt: 10 })
    t.strictSame(
      view?.steps.map(({ status }) => status),
      ['WAITING', 'WAITING', 'FAILED']
    )
    t.match(view?.steps[2], {
      parentScriptId: 1,
      branch: 'true',
      startedAt: 20,
      endedAt: 30,
      exitCode: 1,
      output: 'boom'
    })
    t.strictSame(
      view?.steps[2]?.messages.map(({ message }) => message),
      ['START', 'exit 1', 'Failed']
    )
    t.match(view?.steps[2]?.messages[0], { startTime: 20, endTime: 30 })
  })

  t.test('says what was never begun, and what broke off, once all is over', async (t) => {
    const log = {
      1: { at: 10, kind: 'TASK_STARTED' as const, taskId: 4 },
      2: { at: 20, kind: 'STEP_STARTED' as const, scriptId: 1 }
    }
    const [view] = viewOf(tasks, { attempt: 1, log: { 1: log } })
    t.equal(view?.status, 'FAILED')
    t.strictSame(
      view?.steps.map(({ status }) => status),
      ['FAILED', 'NOT_EXECUTE', 'NOT_EXECUTE']
    )
  })

  t.test('shows the last attempt while the next one waits', async (t) => {
    const [view] = viewOf(tasks, {
      attempt: 2,
      log: { 1: { 1: { at: 10, kind: 'TASK_STARTED', taskId: 4 } } },
      open: true
    })
    t.equal(view?.startedAt, 10)
  })
})

t.test('runs', async (t) => {
  t.test('succeed only when every execution did', async (t) => {
    t.equal(resultOf(settled({ succeeded: 3, failed: 0, running: 0 }, 3)), 'SUCCESS')
    t.equal(resultOf(settled({ succeeded: 3, failed: 1, running: 0 }, 4)), 'FAILED')
    t.equal(resultOf(noCounts), 'FAILED')
  })

  t.test('count what is open by what has not ended', async (t) => {
    const counted = { succeeded: 4, failed: 1, running: 0 }
    t.strictSame(
      settled(counted, 10),
      { total: 10, succeeded: 4, failed: 1, running: 0, waiting: 5 },
      'one was not seen'
    )
    t.strictSame(
      settled({ ...counted, running: 7 }, 8),
      { total: 8, succeeded: 4, failed: 1, running: 3, waiting: 0 },
      'some were seen twice'
    )
  })

  t.test('freeze enabled tasks that have steps, by priority and then by binding', async (t) => {
    const step = {
      scriptId: 1,
      type: 'EXECUTE_FILE' as const,
      order: 0,
      block: true,
      retryTimes: 0,
      retryInterval: 0,
      overWrite: 'OVERWRITE' as const
    }
    const task = (taskId: number, priority: number, enabled = true, scripts = [step]) => {
      const times = { createdAt: 1, lastEditedAt: 1 }
      return {
        _id: '',
        tenantId: 't',
        taskId,
        taskName: `n${taskId}`,
        description: '',
        priority,
        enabled,
        disableValidation: false,
        scripts,
        ...times
      }
    }
    const found = [task(1, 0), task(2, 5), task(3, 0, false), task(4, 0, true, []), task(5, 5)]
    const frozen = freeze({ taskIds: [5, 4, 3, 2, 1, 9] }, found)
    t.strictSame(
      frozen.map(({ taskId, order }) => [taskId, order]),
      [
        [5, 0],
        [2, 1],
        [1, 2]
      ]
    )
  })

  t.test('upload a file at the lowest rate that one of its steps names, compressed where one wants it', async (t) => {
    const send = (scriptId: number, transferOption?: Record<string, unknown>) => ({
      scriptId,
      type: 'SEND_FILE' as const,
      filePath: '/a',
      order: 0,
      block: true,
      retryTimes: 0,
      retryInterval: 0,
      overWrite: 'OVERWRITE' as const,
      ...(transferOption && { transferOption })
    })
    const transferOf = (...options: (Record<string, unknown> | undefined)[]) => {
      const scripts = options.map((option, index) => send(index + 1, option))
      const [source, other] = Object.values(sourcesOf([{ taskId: 1, name: '', order: 0, scripts }]))
      t.equal(other, undefined, 'one upload')
      return source?.transferOption
    }
    t.equal(transferOf(undefined, {}), undefined)
    t.strictSame(transferOf({ rateLimit: 5000, note: 'x' }, undefined), { rateLimit: 5000 })
    t.strictSame(transferOf({ rateLimit: 5000 }, { rateLimit: 2000 }, { rateLimit: 9000 }), { rateLimit: 2000 })
    t.strictSame(transferOf({ rateLimit: 5000 }, { compress: true }, { compress: false }), {
      rateLimit: 5000,
      compress: true
    })
  })

  t.test('offer a file once, however many steps send it', async (t) => {
    const send = (scriptId: number, filePath: string) => ({
      scriptId,
      type: 'SEND_FILE' as const,
      filePath,
      order: 0,
      block: true,
      retryTimes: 0,
      retryInterval: 0,
      overWrite: 'OVERWRITE' as const
    })
    const inside = {
      ...send(4, ''),
      type: 'IF' as const,
      conditions: [],
      true: [send(5, '/a')],
      false: [send(6, '/b')]
    }
    const sources = sourcesOf([
      {
        taskId: 1,
        name: '',
        order: 0,
        scripts: [send(1, '/a'), inside]
      }
    ])
    t.strictSame(
      Object.values(sources).map(({ path, scriptIds }) => [path, scriptIds]),
      [
        ['/a', [1, 5]],
        ['/b', [6]]
      ]
    )
    t.notOk(
      Object.values(sources).some(({ transferOption }) => transferOption),
      'nothing is said of how to move them'
    )
    for (const key of Object.keys(sources)) {
      const runId = 'ab'.repeat(16)
      t.strictSame(parseStageId(stageIdOf(runId, key)), { runId, key })
    }
    t.equal(parseStageId('$where.1'), undefined)
  })

  t.test('turn a list of files that cannot be sent into an error of its steps', async (t) => {
    const entry = { path: 'x'.repeat(200), sha256: 'a'.repeat(64), size: 1 }
    const source = (scriptId: number, files: number): RunSource => ({
      path: '/a',
      ignoreHiddenFile: false,
      scriptIds: [scriptId],
      state: 'READY',
      asked: [],
      errors: [],
      files: Array(files).fill(entry)
    })
    const step = (scriptId: number, type: 'SEND_FILE' | 'BROADCAST') => ({
      scriptId,
      type,
      order: 0,
      block: true,
      retryTimes: 0,
      retryInterval: 0,
      overWrite: 'OVERWRITE' as const
    })
    const run = {
      _id: 'ab'.repeat(16),
      tenantId: 't1',
      tasks: [{ taskId: 1, name: 'a', order: 0, scripts: [step(1, 'SEND_FILE'), step(4, 'BROADCAST')] }] as never
    }
    const sent = commandSources({
      ...run,
      sources: {
        a: { ...source(1, 10), scriptIds: [1, 4] },
        b: source(2, 5000),
        c: { ...source(3, 0), state: 'FAILED', files: undefined as never, error: 'no such file' }
      }
    })
    t.equal(sent[1]?.files?.length, 10)
    t.notOk(sent[1]?.castId)
    t.equal(sent[4]?.castId, castIdOf({ tenantId: 't1', runId: run._id, scriptId: 4 }), 'a BROADCAST has its cast')
    t.ok(isCastOf('t1', sent[4]?.castId ?? ''))
    t.notOk(isCastOf('t2', sent[4]?.castId ?? ''), "which is no other tenant's")
    t.match(sent[2], { error: /5000 files are too many/ })
    t.match(sent[3], { error: 'no such file' })

    const named = { ...source(2, 2000), files: Array(2000).fill({ ...entry, path: '门店'.repeat(50) }) }
    const failed = (scriptId: number) => ({
      ...source(scriptId, 0),
      scriptIds: Array.from({ length: 200 }, (_, i) => scriptId + i),
      files: undefined as never,
      error: 'x'.repeat(2000)
    })
    const { 2: list, ...reasons } = commandSources({ ...run, sources: { b: named, c: failed(1000), d: failed(2000) } })
    t.match(list, { error: /2000 files are too many/ }, 'what counts is bytes: as characters it would fit')
    t.ok(Buffer.byteLength(JSON.stringify(reasons)) < 700_000, 'reasons are bounded too')
    t.match([reasons[1000]?.error, reasons[2000]?.error], [/xxx/, 'the file was not offered'])
  })

  t.test('say why an execution waits', async (t) => {
    const source: RunSource = {
      path: '/a/b',
      ignoreHiddenFile: false,
      scriptIds: [1],
      state: 'ASKED',
      asked: ['x'],
      errors: []
    }
    const queued = { state: 'QUEUED' as const, hold: 'NONE' as const, attempt: 1, dueAt: 0 }
    const running = { state: 'RUNNING' as const, sources: {} }
    t.equal(
      waitingReason({ state: 'PREPARING', sources: { a: source } }, queued, { now: 1 }),
      'waiting for the SERVER machine x to offer /a/b'
    )
    t.equal(
      waitingReason({ state: 'PREPARING', sources: { a: { ...source, state: 'WAITING', asked: [] } } }, queued, {
        now: 1
      }),
      'no SERVER machine is online to offer /a/b'
    )
    t.equal(waitingReason(running, { ...queued, hold: 'OFFLINE' }, { now: 1 }), 'machine is offline')
    t.equal(waitingReason(running, { ...queued, hold: 'DISABLED' }, { now: 1 }), 'machine is disabled')
    t.equal(waitingReason(running, { ...queued, attempt: 2, dueAt: 4000 }, { now: 1000 }), 'attempt 2 begins in 3 s')
    const atWork = { ...queued, state: 'RUNNING' as const, begun: 1 }
    t.equal(waitingReason(running, atWork, { now: 1 }), undefined)
    t.equal(waitingReason(running, { ...atWork, hold: 'OFFLINE' }, { now: 1 }), 'machine is offline')
    t.match(waitingReason(running, { ...atWork, attempt: 2 }, { now: 1 }), /waits in its own queue/)
  })
})

t.test('asking for a file', async (t) => {
  const source = (change: Partial<RunSource> = {}): RunSource => ({
    path: '/a',
    ignoreHiddenFile: false,
    scriptIds: [1],
    state: 'WAITING',
    asked: [],
    errors: [],
    ...change
  })
  const servers = [
    { mqttClientId: 'a', isBound: false, isChosen: false },
    { mqttClientId: 'b', isBound: true, isChosen: false }
  ]
  const times = { now: 100_000, repeatMs: 5000, patienceMs: 60_000 }

  t.test('begins with a bound machine, and repeats until it answers', async (t) => {
    t.strictSame(nextStageStep(source(), servers, times), { kind: 'ask', server: 'b', isNew: true })
    const asked = { asked: ['b'], askedAt: 90_000 }
    t.strictSame(nextStageStep(source({ ...asked, sentAt: 99_000 }), servers, times), { kind: 'wait' })
    t.strictSame(nextStageStep(source({ ...asked, sentAt: 94_000 }), servers, times), {
      kind: 'ask',
      server: 'b',
      isNew: false
    })
  })

  t.test('prefers machines that people made a SERVER to those that call themselves so', async (t) => {
    const chosen = { mqttClientId: 'c', isBound: false, isChosen: true }
    const best = { mqttClientId: 'd', isBound: true, isChosen: true }
    const order = inOrder([...servers, chosen, best]).map(({ mqttClientId }) => mqttClientId)
    t.strictSame(order, ['d', 'c', 'b', 'a'])
  })

  t.test('goes to the next machine after silence, absence or an error', async (t) => {
    const next = { kind: 'ask', server: 'a', isNew: true }
    t.strictSame(nextStageStep(source({ asked: ['b'], askedAt: 1, sentAt: 99_999 }), servers, times), next)
    t.strictSame(nextStageStep(source({ asked: ['b'], askedAt: 99_000 }), servers.slice(0, 1), times), next)
    const errors = [{ server: 'b', error: 'no such file' }]
    t.strictSame(nextStageStep(source({ asked: ['b'], askedAt: 99_000, errors }), servers, times), next)
  })

  t.test('gives up only when every machine has said no, and waits where there is none', async (t) => {
    const one = [{ server: 'b', error: 'no such file' }]
    t.strictSame(nextStageStep(source({ errors: one }), servers.slice(1), times), {
      kind: 'fail',
      error: 'no such file'
    })
    const errors = [...one, { server: 'a', error: 'denied' }]
    t.strictSame(nextStageStep(source({ errors }), servers, times), {
      kind: 'fail',
      error: 'b: no such file; a: denied'
    })
    t.strictSame(nextStageStep(source(), [], times), { kind: 'noServer' })
  })
})

t.test('presence: of several connections of a machine the newest counts', async (t) => {
  const seen = (clientId: string, connectedAt: number) => ({ tenantId: 't', clientId, connectedAt })
  t.strictSame(newestPerClient([seen('a', 5), seen('b', 1), seen('a', 9), seen('a', 7)]), [seen('a', 9), seen('b', 1)])
})

t.test('presence: the broker has the last word on what it had when it was asked', async (t) => {
  const known = (status: 'ONLINE' | 'OFFLINE', connectedAt: number, disconnectedAt?: number) => {
    return { status, connectedAt, ...(disconnectedAt === undefined ? {} : { disconnectedAt }) }
  }
  t.equal(isMissed(undefined, 5, 9), true)
  t.equal(isMissed(known('ONLINE', 4), 5, 9), true)
  t.equal(isMissed(known('ONLINE', 5), 5, 9), false)
  t.equal(isMissed(known('OFFLINE', 5, 8), 5, 9), true)
  t.equal(isMissed(known('OFFLINE', 5, 10), 5, 9), false, 'it ended after the broker was asked')
  t.equal(isMissed(known('OFFLINE', 6, 7), 5, 9), false, 'a newer connection is known')
})
