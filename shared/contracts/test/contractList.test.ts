import { readFileSync } from 'node:fs'
import t from 'tap'
import { AppError, commands, compile, events, loadContractList, rpcs, type TSchema } from '../src/index.js'

t.test('CONTRACTS.md is current (node dist/src/printContracts.js writes it)', async (t) => {
  const written = readFileSync(new URL('../../CONTRACTS.md', import.meta.url), 'utf8')
  t.equal(written, loadContractList())
})

t.test('every contract is listed, has a name of its own and a schema that compiles', async (t) => {
  const list = loadContractList()
  const names = [...events, ...commands].map(({ subject }) => subject).concat(rpcs.map(({ operation }) => operation))
  t.equal(new Set(names).size, names.length)
  for (const name of names) t.match(list, `.${name}\``)
  const schemas = [...events, ...commands].map(({ data }) => data)
  // A schema is compiled when it first checks something, and only one that is wrong is another error than bad input.
  for (const schema of [...schemas, ...rpcs.flatMap(({ request, reply }) => [request, reply])]) t.ok(isSound(schema))
})

t.test('event subjects name service, thing and what happened', async (t) => {
  for (const { subject } of events) t.match(subject, /^[a-z-]+\.[A-Za-z]+\.[A-Za-z]+ed$/)
})

function isSound(schema: TSchema): boolean {
  try {
    compile(schema)(undefined)
    return true
  } catch (error) {
    return error instanceof AppError
  }
}
