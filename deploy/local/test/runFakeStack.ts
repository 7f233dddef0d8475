/** A runtime in a process of its own, to be killed: `runFakeStack.js <data folder>`, with the real parts. */
import { startStack } from '../src/index.js'
import { fakeOptions } from './fakeStack.js'

await startStack(fakeOptions(process.argv[2] ?? '', {}))
process.send?.('ready')
