/** The judges of demo and soak: each thing that may be wrong is found, and nothing in what is right. */
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ReportEvent } from '@fleetgate/contracts/fleet'
import { temporaryFolder } from '@fleetgate/testkit'
import t from 'tap'
import type { Machine } from '../src/demo/machines.js'
import { faultsOf } from '../src/demo/verify.js'
import type { MachineResult, StepRow } from '../src/demo/watch.js'
import { type ExecutionDoc, programFaults, reportFaults, stateFaults } from '../src/soak/jobFaults.js'
import { createLines } from '../src/soak/lines.js'
import type { SoakMachine } from '../src/soak/machine.js'

const dir = temporaryFolder(t)

function machine(name: string): Machine {
  const root = join(dir, name)
  mkdirSync(root, { recursive: true })
  const nothing = () => undefined
  const failure = new Promise<never>(nothing)
  const calls = { pid: nothing, start: nothing, kill: nothing, stop: async () => undefined }
  return { name, role: 'STORE', root, clientId: 1, failure, ...calls }
}

t.test('of the demo', async (t) => {
  const bytes = Buffer.from('a release')
  const load = { name: 'release.bin', bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
  const store = machine('store-1')
  const inbox = join(store.root, 'inbox')
  const log = join(store.root, 'runs.log')
  const lay = () => {
    rmSync(inbox, { recursive: true, force: true })
    mkdirSync(inbox)
    writeFileSync(join(inbox, load.name), bytes)
    writeFileSync(log, 'once\n')
  }
  const step = (type: string): StepRow => ({
    scriptId: 1,
    type,
    status: 'SUCCESS',
    startTime: 1,
    endTime: 2,
    messages: [{ message: 'START' }, { message: 'Successed' }],
    exitCode: type === 'EXECUTE_FILE' ? 0 : null,
    output: type === 'EXECUTE_FILE' ? `${load.sha256}  release.bin\n` : null
  })
  const right = (): MachineResult => ({
    status: 'SUCCESS',
    mqttClientId: 'store-1',
    clientId: 1,
    reportId: 'r',
    attempt: 1,
    message: null,
    reason: null,
    steps: ['SEND_FILE', 'IF', 'GET_FILE_STATUS', 'EXECUTE_FILE'].map(step)
  })
  const judge = (change: (result: MachineResult) => void = () => undefined) => {
    const result = right()
    change(result)
    return faultsOf([store], [result], load)
  }
  const program = ({ steps }: MachineResult) => steps[3] as StepRow

  lay()
  t.same(judge(), [])
  t.same(faultsOf([store, machine('store-2')], [right()], load), ['store-2: no result'])
  const reported: [change: (result: MachineResult) => void, fault: RegExp][] = [
    [(one) => Object.assign(one, { status: 'FAILED', message: 'no room' }), /is FAILED \(no room\)/],
    [(one) => Object.assign(one, { attempt: 2 }), /needed 2 attempts/],
    [(one) => void one.steps.pop(), /has 3 steps in the log/],
    [(one) => program(one).messages.push({ message: 'START' }), /EXECUTE_FILE is logged START, Successed, START/],
    [(one) => void program(one).messages.pop(), /EXECUTE_FILE is logged START$/],
    [(one) => Object.assign(program(one), { status: 'FAILED' }), /EXECUTE_FILE is FAILED/],
    [(one) => Object.assign(program(one), { exitCode: 3 }), /exit code 3/],
    [(one) => Object.assign(program(one), { output: 'something else' }), /not the checksum/]
  ]
  for (const [change, fault] of reported) {
    const found = judge(change)
    t.ok(
      found.some((one) => fault.test(one)),
      `${fault}: ${found}`
    )
  }
  const onDisk: [change: () => void, fault: string][] = [
    [() => writeFileSync(join(inbox, load.name), 'another'), 'the file is not the one that was sent'],
    [() => writeFileSync(join(inbox, 'release.bin.part'), ''), 'the inbox holds release.bin, release.bin.part'],
    [() => writeFileSync(log, 'once\ntwice\n'), 'the program ran 2 times'],
    [() => rmSync(log), 'the program ran 0 times']
  ]
  for (const [change, fault] of onDisk) {
    lay()
    change()
    t.same(judge(), [`store-1: ${fault}`])
  }
})

t.test('of the soak', async (t) => {
  const event = (seq: number, more: Partial<ReportEvent> = {}): ReportEvent => ({
    seq,
    at: seq,
    kind: 'STEP_ENDED',
    ...more
  })
  const events = [event(1), event(2, { kind: 'FINISHED', status: 'SUCCESS' })]
  const attempts = () => [{ executionId: 'e', attempt: 1, events, acknowledged: new Set([1, 2]) }]
  const reporter: SoakMachine = { clientId: 'm', attempts, isConnected: () => true, close: async () => undefined }
  const doc = (more: Partial<ExecutionDoc> = {}): ExecutionDoc => ({
    _id: 'e',
    runId: 'r',
    mqttClientId: 'm',
    state: 'SUCCEEDED',
    attempt: 1,
    log: { 1: { 1: event(1), 2: event(2) } },
    ...more
  })

  t.test('reports that were acknowledged and are not in the log', async (t) => {
    t.same(reportFaults([reporter], [doc()]), [])
    t.match(reportFaults([reporter], [doc({ log: { 1: { 1: event(1) } } })]), [/not in the log: 2$/])
    t.match(reportFaults([reporter], []), [/not in the log: 1,2$/])
  })

  t.test('ends that are not what the machine said', async (t) => {
    const accepted = (isCancelled: boolean) => new Map([['r', { runId: 'r', jobId: 1, isCancelled }]])
    t.same(stateFaults([reporter], [doc()], accepted(false)), [])
    const failed = doc({ state: 'FAILED', message: 'x' })
    t.match(stateFaults([reporter], [failed], accepted(false)), [/e is FAILED \(x\), its machine said SUCCESS/])
    t.same(stateFaults([reporter], [failed], accepted(true)), [], 'but where the run was cancelled')
    t.match(stateFaults([], [doc({ state: 'RUNNING' })], accepted(false)), [/e is RUNNING, attempt 1/])
  })

  t.test('programs that ran more or less often than was reported', async (t) => {
    const store = machine('m')
    const ran = (times: number) => writeFileSync(join(store.root, 'notes'), 'x\n'.repeat(times))
    const done = doc({ log: { 1: { 1: event(1, { exitCode: 0 }) } } })
    const unknown = doc({ log: { 1: { 1: event(1, { message: 'INDETERMINATE: gone' }) } } })
    ran(1)
    t.same(programFaults([store], [done]), [])
    t.same(programFaults([store], [unknown]), [], 'nobody knows of that one')
    t.match(programFaults([store], [done, done]), [/ran its program 1 times and reported 2/])
    ran(2)
    t.match(programFaults([store], [done]), [/ran its program 2 times and reported 1/])
    ran(0)
    t.match(programFaults([store], [doc({ log: { 1: { 2: event(2) } } })]), [/its log has gaps/])
  })

  t.test('lines that a person would have to act on', async (t) => {
    const written: string[] = []
    const lines = createLines((name, line) => written.push(`${name} ${line}`))
    const error = (more: object) => JSON.stringify({ level: 'error', msg: 'broken', err: { message: 'why' }, ...more })
    lines.hear('nats', 'in words of its own')
    lines.hear('auth', JSON.stringify({ level: 'warn', msg: 'recovered' }))
    lines.hear('auth', error({ code: 'unavailable' }))
    lines.log.warn({ process: 'auth', reason: 'ended by SIGKILL' }, 'process died')
    t.same(lines.findings(), [])
    lines.hear('devices-2', error({}))
    lines.hear('devices', error({}))
    lines.hear('auth', 'TypeError: x')
    lines.log.warn({ process: 'auth', reason: 'ended with code 1' }, 'process died')
    const found = lines.findings().map((one) => one.split('\n')[0])
    t.same(found, [
      'devices logs error: broken: why (2 times)',
      'auth writes what is no log line (1 times)',
      'auth: process died: ended with code 1 (1 times)'
    ])
    t.equal(written.length, 6, 'all lines are kept')
  })
})
