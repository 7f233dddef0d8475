import { readFileSync } from 'node:fs'
import t from 'tap'
import { commands, compile, events, loadContractList, rpcs } from '../src/index.js'

t.test('CONTRACTS.md is current (node dist/src/printContracts.js writes it)', async (t) => {
  const written = readFileSync(new URL('../../CONTRACTS.md', import.meta.url), 'utf8')
  t.equal(written, loadContractList())
})

t.test('every contract is listed, has a name of its own and a schema that compiles', async (t) => {
  const list = loadContractList()
  const names = [...events, ...commands].map(({ subject }) => subject).concat(rpcs.map(({ operation }) => operation))
  t.equal(new Set(names).size, names.length)
  for (const name of names) t.match(list, `.${name}\``)
  for (const schema of [...events, ...commands].map(({ data }) => data)) t.doesNotThrow(() => compile(schema))
  for (const { request, reply } of rpcs) t.doesNotThrow(() => [compile(request), compile(reply)])
})

t.test('event subjects name service, thing and what happened', async (t) => {
  for (const { subject } of events) t.match(subject, /^[a-z-]+\.[A-Za-z]+\.[A-Za-z]+ed$/)
})
