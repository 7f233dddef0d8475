import { spawn } from 'node:child_process'

/** Runs a program to its end and answers what it printed; rejects with what it complained of. */
export function command(file: string, args: readonly string[], input = '', env = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) return resolve(Buffer.concat(out).toString())
      reject(new Error(`${file} ${args.join(' ')} ended with ${code}: ${Buffer.concat([...err, ...out]).toString()}`))
    })
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

export async function succeeds(file: string, args: readonly string[]): Promise<boolean> {
  return command(file, args).then(
    () => true,
    () => false
  )
}
