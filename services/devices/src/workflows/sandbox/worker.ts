import { parentPort } from 'node:worker_threads'
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
  Scope
} from 'quickjs-emscripten-core'
import { type Evaluation, memoryBytes, type Verdict } from './sandbox.js'

/** The text of `program` may hold anything: it runs within QuickJS, which has neither Node nor the network. */
function evaluate(quickjs: QuickJSWASMModule, { code, input, limits }: Evaluation): Verdict {
  const runtime = quickjs.newRuntime()
  const deadline = Date.now() + limits.timeMs
  runtime.setMaxStackSize(256 * 1024)
  runtime.setInterruptHandler(() => Date.now() > deadline)
  const context = runtime.newContext()
  const verdict = run(context, { code, input, maxOutput: limits.outputBytes, deadline })
  try {
    context.dispose()
    runtime.dispose()
    // What is left may be in pieces too small for the next one.
    return 'error' in verdict && verdict.error === outOfMemory ? { ...verdict, isBroken: true } : verdict
  } catch {
    // A runtime that ran out of memory may not free everything: then the worker is replaced.
    return { ...verdict, isBroken: true }
  }
}

/** As the engine says it. */
const outOfMemory = 'out of memory'

interface Program {
  code: string
  input: string
  maxOutput: number
  deadline: number
}

/** `JSON.stringify` and the like are taken before the program can change them. */
const prologue = `(() => {
  const { parse, stringify } = JSON
  const { entries, defineProperty } = Object
  const input = parse(__input)
  for (const [name, value] of entries(input.globals)) {
    defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: true })
  }
  delete globalThis.__input
  return (completion) => {
    const result = typeof globalThis.main === 'function' ? globalThis.main(input.argument) : completion
    return [result, (value) => stringify(value === undefined ? null : value)]
  }
})()`

function run(context: QuickJSContext, program: Program): Verdict {
  // Every handle is let go with the scope: a runtime that still has some cannot be freed.
  return Scope.withScope((scope) => runWithin(scope, context, program))
}

function runWithin(scope: Scope, context: QuickJSContext, { code, input, maxOutput, deadline }: Program): Verdict {
  const text = scope.manage(context.newString(input))
  context.setProp(context.global, '__input', text)
  const finish = scope.manage(context.unwrapResult(context.evalCode(prologue, 'prologue.js')))
  const evaluated = scope.manage(context.evalCode(code, 'code.js', { type: 'global' }))
  if (evaluated.error) return { error: reasonOf(context, evaluated.error, deadline) }
  const called = scope.manage(context.callFunction(finish, context.undefined, evaluated.value))
  if (called.error) return { error: reasonOf(context, called.error, deadline) }
  const result = scope.manage(context.getProp(called.value, 0))
  const jobs = scope.manage(context.runtime.executePendingJobs(10_000))
  if (jobs.error) return { error: reasonOf(context, jobs.error, deadline) }
  const state = context.getPromiseState(result)
  if (state.type === 'pending') return { error: 'the promise of the code is never resolved' }
  if (state.type === 'rejected') return { error: reasonOf(context, scope.manage(state.error), deadline) }
  const value = state.notAPromise ? result : scope.manage(state.value)
  const stringify = scope.manage(context.getProp(called.value, 1))
  const written = scope.manage(context.callFunction(stringify, context.undefined, value))
  if (written.error) return { error: reasonOf(context, written.error, deadline) }
  const length = context.getProp(written.value, 'length').consume((handle) => context.getNumber(handle))
  if (length > maxOutput) return { error: `the code answers more than ${maxOutput} characters` }
  return { output: context.typeof(written.value) === 'string' ? context.getString(written.value) : 'null' }
}

function reasonOf(context: QuickJSContext, error: Parameters<QuickJSContext['dump']>[0], deadline: number): string {
  if (Date.now() > deadline) return 'the code took too long'
  const reason = context
    .getProp(error, 'message')
    .consume((text) => (context.typeof(text) === 'string' ? context.getString(text) : 'the code threw something'))
  return reason.slice(0, 500) || 'the code failed'
}

const port = parentPort
if (!port) throw new Error('this file is a worker')
/** Of Node, whose types do not name it. */
declare const WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => object }

const pageBytes = 65_536
/** What the engine begins with: its own data and stack. */
const initialBytes = 16 * 1024 * 1024
/**
 * The bound on memory is that of WebAssembly: the engine's own limit counts single allocations only, because it is not told by
 * its allocator how large each is.
 */
const wasmMemory = new WebAssembly.Memory({
  initial: initialBytes / pageBytes,
  maximum: (initialBytes + memoryBytes) / pageBytes
})
// Its types are those of CommonJS, where the default would lie one level deeper.
const variant = (await import('@jitl/quickjs-wasmfile-release-sync')).default as unknown as QuickJSSyncVariant
const quickjs = await newQuickJSWASMModuleFromVariant(newVariant(variant, { wasmMemory }))
port.on('message', (evaluation: Evaluation) => {
  let verdict: Verdict
  try {
    verdict = evaluate(quickjs, evaluation)
  } catch (error) {
    verdict = { error: `the code was stopped: ${(error as Error).message}`.slice(0, 500), isBroken: true }
  }
  port.postMessage(verdict)
})
port.postMessage('ready')
