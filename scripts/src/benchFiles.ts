import { createHash, randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { blockSize, type ManifestFile } from '@fleetgate/contracts/fleet'
import { judge } from './bench/judge.js'
import { median } from './bench/table.js'
import { logIn } from './demo/account.js'
import { bodyOf, get, type Page } from './demo/client.js'
import { toTable } from './demo/table.js'
import { connectFleet, runOnce } from './fleet/fanout.js'
import { megabytes, memoryOf } from './fleet/memory.js'
import { fetchPlain, startPlainServer } from './fleet/plainHttp.js'
import { receivingFile } from './fleet/receiving.js'
import { withStack } from './fleet/withStack.js'

/**
 * One SEND_FILE job of a file on many machines, from `run` to the last result in the log API, beside as many clients of a plain
 * HTTP server that has the file in memory. Both sides check each block's sha256 and keep nothing. Fails where the bound is broken.
 * Usage: scripts/bench/files [--machines 200] [--megabytes 20] [--rounds 3]
 */
const { values } = parseArgs({
  options: {
    machines: { type: 'string', default: '200' },
    megabytes: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' }
  }
})
const count = Number(values.machines)
const rounds = Number(values.rounds)
const content = randomBytes(Number(values.megabytes) * 1024 * 1024)

/** The bound that the product promises: times of plain HTTP. */
const mostTimes = 2

await withStack(async (stack, dataDir) => {
  const say = (line: string) => console.log(line)
  const options = { dataDir, email: process.env.EMAIL, password: process.env.PASSWORD, say }
  const account = await logIn(stack.url, options)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const query = `fileName=release.bin&sha256=${sha256}`
  bodyOf(await account.session.send('POST', `/v1/files?${query}`, content), 'storing the file')
  const file: ManifestFile = { path: '', sha256, size: content.length }
  const fleet = await connectFleet(account, stack.mqttUrl, count + 1, receivingFile(file))
  const named = await get<Page<{ clientId: number }>>(account.session, '/v1/clients?mqttClientId=bench-00001')
  const server = named.list[0]?.clientId
  const stores = fleet.clientIds.filter((clientId) => clientId !== server)
  const plain = await startPlainServer(content.length)
  const send = {
    type: 'SEND_FILE',
    order: 0,
    filePath: 'release.bin',
    targetFilePath: 'in/release.bin',
    createFilePath: true,
    overWrite: 'OVERWRITE',
    block: true
  }
  say(`${count} machines, ${values.megabytes} MB each; times in seconds`)
  const results: { ours: number; http: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    const http = await fetchPlain(plain.url, count, blockSize)
    const { visibleMs } = await runOnce(account.session, { ...fleet, clientIds: stores }, [send])
    results.push({ ours: visibleMs, http })
  }
  plain.stop()
  const seconds = (ms: number) => (ms / 1000).toFixed(2)
  const rows = results.map(({ ours, http }, round) => [
    String(round + 1),
    seconds(ours),
    seconds(http),
    (ours / http).toFixed(2)
  ])
  const ratio = median(results.map(({ ours, http }) => ours / http))
  for (const line of toTable(['round', 'job', 'plain HTTP', 'ratio'], [...rows, ['median', '', '', ratio.toFixed(2)]]))
    say(line)
  const memory = memoryOf(stack.processes()).map(({ name, rss, pss }) => [name, megabytes(rss), megabytes(pss)])
  for (const line of toTable(['process', 'RSS MB', 'PSS MB'], memory)) say(line)
  fleet.close()
  judge([{ what: 'the job beside plain HTTP, median', value: ratio, most: mostTimes, unit: 'times' }])
})
