import { type AgentConfig, loadConfig } from '../config.js'
import { localLooks } from './local.js'
import { networkLooks } from './network.js'
import { look, type Result } from './result.js'

export interface CheckOptions {
  configFile: string | undefined
  asJson: boolean
}

/** Looks at everything that the agent needs and prints what it found; answers the exit code. */
export async function checkMachine({ configFile, asJson }: CheckOptions): Promise<number> {
  const results: Result[] = []
  const note = (result: Result) => {
    results.push(result)
    if (!asJson) console.log(`${result.status.padEnd(8)}${result.name.padEnd(10)}${result.detail}`)
    return result
  }
  const found: { config?: AgentConfig } = {}
  note(
    await look('config', async () => {
      const config = loadConfig(process.env, configFile)
      found.config = config
      return `client id ${config.clientId}, role ${config.role}, ${configFile ?? 'from the environment'}`
    })
  )
  const { config } = found
  if (config) {
    for (const [name, work] of [...localLooks(config), ...networkLooks(config)]) note(await look(name, work))
  }
  const isGood = results.every(({ status }) => status !== 'failed')
  if (asJson) console.log(JSON.stringify({ ok: isGood, checks: results }, null, 2))
  return isGood ? 0 : 1
}
