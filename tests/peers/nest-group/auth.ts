import { Body, CanActivate, ConflictException, Controller, createParamDecorator, ExecutionContext, Injectable, Post, UnauthorizedException } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { InjectRepository } from '@nestjs/typeorm';
import { randomBytes, scrypt as scryptWithCallback, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { Repository } from 'typeorm';
import { Credentials } from './dto';
import { Account } from './entities';

const scrypt = promisify<string, Buffer, number, Buffer>(scryptWithCallback);

/** The id of who asks. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): string => context.switchToHttp().getRequest().user);

@Injectable()
export class AuthGuard implements CanActivate {
  constructor(private readonly jwt: JwtService) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest();
    const [, token] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    try {
      request.user = this.jwt.verify(token!).sub;
      return true;
    } catch {
      throw new UnauthorizedException();
    }
  }
}

@Controller('auth')
export class AuthController {
  constructor(
    private readonly jwt: JwtService,
    @InjectRepository(Account) private readonly accounts: Repository<Account>,
  ) {}

  @Post('register')
  async register(@Body() { email, password }: Credentials) {
    if (await this.accounts.existsBy({ email })) throw new ConflictException('this email has an account');
    const salt = randomBytes(16);
    const passwordHash = `${salt.toString('hex')}:${(await scrypt(password, salt, 32)).toString('hex')}`;
    const { id } = await this.accounts.save({ email, passwordHash });
    return { id, email };
  }

  @Post('login')
  async login(@Body() { email, password }: Credentials) {
    const account = await this.accounts.findOneBy({ email });
    const [salt, hash] = (account?.passwordHash ?? ':').split(':').map((part) => Buffer.from(part, 'hex'));
    const given = await scrypt(password, salt, 32);
    if (!account || !timingSafeEqual(given, hash)) throw new UnauthorizedException('email or password is wrong');
    return { accessToken: this.jwt.sign({ sub: account.id, email }), tokenType: 'Bearer', user: { id: account.id, email } };
  }
}
